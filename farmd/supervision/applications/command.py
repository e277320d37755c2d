"""A service that is started and stopped by commands: the user's own, or the actions of an OCF resource agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from farmd.supervision import ocf
from farmd.supervision.commands import Command, Outcome
from farmd.supervision.containment import Contained
from farmd.supervision.failure import Failure
from farmd.supervision.schema import Service
from farmd.supervision.words import words

_LOOKS_MAX = 20
_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Actions:
    """The commands of a service, and what their exit codes mean. Exit code 0 of `start` and `stop` is success."""

    start: Sequence[str]
    stop: Sequence[str]
    status: Sequence[str]
    """Says whether it runs; without one, it runs while a process of it lives."""
    status_says: str
    """Whose word that is."""
    running: frozenset[int]
    """The exit codes of `status` that say so."""
    text: Callable[[Outcome], str]
    """Another outcome in a few words."""
    environment: Callable[[float], Mapping[str, str]]
    """What a command that may take so many seconds finds in its environment."""


def commands(service: Service) -> Actions:
    """A user's own."""
    status = words(service.status) if service.status else []
    return Actions(
        words(service.start),
        words(service.stop),
        status,
        "its status command",
        frozenset({0}),
        lambda outcome: outcome.text,
        lambda _: {},
    )


def agent(service: Service) -> Actions:
    """An OCF resource agent's."""
    path = str(ocf.agent(service.ocf))
    return Actions(
        [path, "start"],
        [path, "stop"],
        [path, "monitor"],
        "its agent",
        frozenset(ocf.RUNNING),
        _agent_text,
        lambda timeout_s: ocf.environment(service.ocf, service.name, service.params, timeout_s),
    )


def _agent_text(outcome: Outcome) -> str:
    if outcome.code < 0:
        return outcome.text
    return f"{outcome.line} ({ocf.name(outcome.code)})" if outcome.line else ocf.meaning(outcome.code)


class CommandApplication:
    """Its processes are all that its start has left running, whatever they call themselves."""

    def __init__(self, service: Service, actions: Actions, contained: Contained, wake: Callable[[], None]) -> None:
        self._service = service
        self._actions = actions
        self._contained = contained
        self._watch = contained.watch(wake)
        self._status = self._status_command()

    @property
    def late(self) -> str:
        return f"no answer of {self._actions.status_says}"

    async def look(self) -> str:
        self._contained.trim()
        if self._watch is not None:
            self._watch.on()
        if self._actions.status:
            return self._word(await self._status.run())
        if not self._contained.populated:
            raise Failure("no process of it lives" if self._contained.known else "its processes are not known")
        return "a process of it lives"

    async def start(self) -> None:
        environment = self._actions.environment(self._service.start_timeout_s)
        outcome = await self._contained.start(self._actions.start, environment)
        if outcome.code:
            raise Failure(self._actions.text(outcome))

    async def stop(self) -> None:
        self._contained.room()
        command = self._contained.command(self._actions.stop)
        outcome = await Command(command, self._actions.environment(self._service.stop_timeout_s)).run()
        if outcome.code and await self._lives():
            raise Failure(self._actions.text(outcome))  # nobody has asked its processes to end
        await self._contained.empty()

    async def kill(self) -> None:
        await self._contained.kill()
        for _ in range(_LOOKS_MAX):
            if not await self._lives():
                return
            await asyncio.sleep(_LOOK_AGAIN_S)  # the killed are still there until their parents have buried them
        raise Failure(f"all its processes were killed, and {self._actions.status_says} says that it runs")

    def forget(self) -> None:
        self._contained.forget()

    def _word(self, outcome: Outcome) -> str:
        if outcome.code not in self._actions.running:
            raise Failure(self._actions.text(outcome))
        return outcome.line or f"{self._actions.status_says} says that it runs"

    async def _lives(self) -> bool:
        if self._actions.status and (await self._status_command().run()).code in self._actions.running:
            return True
        return self._contained.populated

    def _status_command(self) -> Command:
        return Command(self._actions.status, self._actions.environment(self._service.status_timeout_s))
