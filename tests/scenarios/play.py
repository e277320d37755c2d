"""What every stage has: it carries out commands and collects what was seen."""

from __future__ import annotations


class Play:
    """`run 500` calls `_do_run("500")`; what comes of it is appended to `lines`."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def play(self, commands: str) -> str:
        """Carries out commands, one a line, and returns what was seen; "ok" if that is nothing."""
        self.lines = []
        for command in commands.splitlines():
            verb, *words = command.split()
            getattr(self, f"_do_{verb.replace('-', '_')}")(*words)
        return "\n".join(self.lines) or "ok"

    def _do_run(self, ms: str) -> None:
        raise NotImplementedError

    def _do_quietly_run(self, ms: str) -> None:
        """What happens meanwhile is not told again in every story."""
        seen = len(self.lines)
        self._do_run(ms)
        del self.lines[seen:]


def number(node: str) -> int:
    """2 for n2."""
    return int(node.removeprefix("n"))
