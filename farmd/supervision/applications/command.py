"""A service that is started and stopped by commands."""

from __future__ import annotations

from collections.abc import Callable

from farmd.supervision.commands import Command, words
from farmd.supervision.containment import Contained
from farmd.supervision.failure import Failure
from farmd.supervision.schema import Service


class CommandApplication:
    """Its processes are all that its start command left running, whatever they call themselves."""

    late = "no answer of its status command"

    def __init__(self, service: Service, contained: Contained, wake: Callable[[], None]) -> None:
        self._contained = contained
        self._start = words(service.start)
        self._stop = Command(words(service.stop))
        self._status = Command(words(service.status)) if service.status else None
        self._watch = contained.watch(wake)

    async def look(self) -> str:
        self._contained.trim()
        if self._watch is not None:
            self._watch.on()
        if self._status is not None:
            outcome = await self._status.run()
            if outcome.code:
                raise Failure(f"status: {outcome.text}")
            return outcome.line or "its status command says so"
        if not self._contained.populated:
            raise Failure("no process of it lives" if self._contained.known else "its processes are not known")
        return "a process of it lives"

    async def start(self) -> None:
        outcome = await self._contained.start(self._start, {})
        if outcome.code:
            raise Failure(outcome.text)

    async def stop(self) -> None:
        outcome = await self._stop.run()
        if outcome.code and await self._lives():
            raise Failure(outcome.text)  # nobody has asked its processes to end
        await self._contained.empty()

    async def kill(self) -> None:
        await self._contained.kill()
        if await self._lives():
            raise Failure("all its processes were killed, and its status command says that it runs")

    async def _lives(self) -> bool:
        by_its_word = self._status is not None and (await self._status.run()).code == 0
        return by_its_word or self._contained.populated

    def forget(self) -> None:
        self._contained.forget()
