"""A service that is an OCF resource agent."""

from __future__ import annotations

from collections.abc import Callable

from farmd.supervision import ocf
from farmd.supervision.commands import Command
from farmd.supervision.containment import Contained
from farmd.supervision.failure import Failure
from farmd.supervision.schema import Service


class OcfApplication:
    """The agent knows how; what its start leaves running is contained, so that it can be killed."""

    late = "no answer of its monitor action"

    def __init__(self, service: Service, contained: Contained, wake: Callable[[], None]) -> None:
        self._service = service
        self._contained = contained
        self._agent = str(ocf.agent(service.ocf))
        self._stop = self._action("stop", service.stop_timeout_s)
        self._monitor = self._action("monitor", service.status_timeout_s)
        self._watch = contained.watch(wake)

    async def look(self) -> str:
        self._contained.trim()
        if self._watch is not None:
            self._watch.on()
        outcome = await self._monitor.run()
        if outcome.code not in ocf.RUNNING:
            raise Failure(_text(outcome.code, outcome.line))
        return "monitor: it is running"

    async def start(self) -> None:
        environment = self._environment(self._service.start_timeout_s)
        outcome = await self._contained.start([self._agent, "start"], environment)
        if outcome.code != ocf.Code.OCF_SUCCESS:
            raise Failure(_text(outcome.code, outcome.line))

    async def stop(self) -> None:
        outcome = await self._stop.run()
        if outcome.code != ocf.Code.OCF_SUCCESS:
            raise Failure(_text(outcome.code, outcome.line))
        await self._contained.empty()

    async def kill(self) -> None:
        await self._contained.kill()
        outcome = await self._monitor.run()
        if outcome.code in ocf.RUNNING:
            raise Failure("all its processes were killed, and its agent says that it is running")

    def forget(self) -> None:
        self._contained.forget()

    def _action(self, action: str, timeout_s: float) -> Command:
        return Command([self._agent, action], self._environment(timeout_s))

    def _environment(self, timeout_s: float) -> dict[str, str]:
        return ocf.environment(self._service.ocf, self._service.name, self._service.params, timeout_s)


def _text(code: int, line: str) -> str:
    return f"{line} ({ocf.meaning(code)})" if line else ocf.meaning(code)
