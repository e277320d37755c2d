"""exec: a command whose exit code is 0."""

from __future__ import annotations

from farmd.supervision.commands import Command
from farmd.supervision.failure import Failure
from farmd.supervision.words import words


class CommandProbe:
    """Runs a command; it and all of its process group are killed when it is too late."""

    late = "it has not ended"

    def __init__(self, line: str) -> None:
        self._command = Command(words(line))

    async def look(self) -> str:
        outcome = await self._command.run()
        if outcome.code:
            raise Failure(outcome.text)
        return outcome.line or outcome.ended
