"""The application: the services of the node that serves, and the checks that are tried as long as they run.

Each time it starts, nothing is known of it; each time it stops, every process of it is gone at the end. An application
that outlives a mirrord without its knowledge would meet another node's files, so `clear` comes before everything else,
and the attendant kills it when mirrord dies.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable

from farmd.core import readiness
from farmd.core.duties import Duties
from farmd.core.events import Health as Supervised
from farmd.core.life import State
from farmd.core.supervisor import Supervisor
from farmd.core.supervisor_events import Quit, Surroundings, Wish
from farmd.core.watched import Watched
from farmd.errors import MachineError
from farmd.supervising import Supervising, duties
from mirrord.config import Config
from mirrord.core.events import ApplicationStopped, Health

CLEAR_WITHIN_S = 60.0
"""For what an earlier run has left to die; the attendant needs less, or says that it cannot be killed."""

_HERE = Surroundings(released=True)
"""Nothing has to move before a service is restarted: this node serves on."""
_LEFT = Surroundings(released=True, left=True)
"""Nothing has to move before all of them are stopped for good."""


class Application:
    """That of one mirror on this node."""

    def __init__(
        self,
        config: Config,
        *,
        on_event: Callable[[Health | ApplicationStopped], None],
        on_remark: Callable[[str], None],
        on_step: Callable[[], None],
    ) -> None:
        """on_event: what the core shall know. on_remark: what the log shall. on_step: after each of its steps, which
        may have changed what is told of this node."""
        self._config = config
        self._on_event, self._on_remark, self._on_step = on_event, on_remark, on_step
        self._duties = _duties(config)
        self._passed: set[str] = set()
        """Checks that have passed since their services were started."""
        self._told = Health(ready=False)
        self._runs = False
        self._around = _HERE
        self._supervising = self._new(self._finished)
        self._task: asyncio.Task[None] | None = None

    @property
    def runs(self) -> bool:
        """Whether it is started and has not been seen to have stopped."""
        return self._runs

    @property
    def core(self) -> Supervisor:
        """Where every service and check stands."""
        return self._supervising.core

    async def clear(self) -> None:
        """Kill what an earlier run has left. MachineError if something cannot be killed."""
        if not any(service.managed for service in self._config.services):
            return
        cleared = asyncio.Event()
        clearing = self._new(cleared.set, quiet=True)
        await clearing.start()
        clearing.step(Quit(forced=True))
        clearing.look_around(_LEFT)
        try:
            async with asyncio.timeout(CLEAR_WITHIN_S):
                await cleared.wait()
        except TimeoutError:
            raise MachineError("it cannot be made sure that nothing of the application runs") from None
        finally:
            await clearing.close()
        for life in clearing.core.lives:
            if life.gave_up:
                raise MachineError(readiness.stands(life))

    def prepare(self) -> None:
        """Makes the next start quick."""
        self._supervising.prepare()

    def start(self) -> None:
        """Start every service, one after the other, and keep them running; Health is told."""
        assert not self._runs, "it is started already"
        self._runs, self._around = True, _HERE
        self._passed.clear()
        self._told = Health(ready=False)
        self._task = asyncio.create_task(self._start())

    async def _start(self) -> None:
        await self._supervising.start()
        self._supervising.look_around(self._around)

    def stop(self, *, force: bool) -> None:
        """Stop them in the opposite order, each killed after its time; `force`: kill all at once. ApplicationStopped is
        told when no process is left."""
        if not self._runs:
            asyncio.get_running_loop().call_soon(self._on_event, ApplicationStopped())
            return
        self._around = _LEFT
        self._supervising.step(Quit(forced=force))
        self._supervising.look_around(_LEFT)

    def wish(self, wish: Wish) -> None:
        """What an operator wants of a service. MachineError where the application does not run."""
        if not self._runs:
            raise MachineError("the application does not run on this node")
        self._supervising.step(wish)

    async def close(self) -> None:
        """Look no more. What still runs is killed."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await self._supervising.close()

    def _new(self, on_finished: Callable[[], None], *, quiet: bool = False) -> Supervising:
        return Supervising(
            self._config.services,
            self._config.checks,
            self._config.mirror.name,
            self._duties,
            on_health=(lambda _: None) if quiet else self._take_health,
            on_remark=(lambda _: None) if quiet else self._on_remark,
            on_finished=on_finished,
            on_step=(lambda: None) if quiet else self._stepped,
            outlive=False,
        )

    def _finished(self) -> None:
        self._task = asyncio.create_task(self._end())

    async def _end(self) -> None:
        await self._supervising.close()
        self._runs = False
        self._supervising = self._new(self._finished)
        self._supervising.prepare()
        self._on_event(ApplicationStopped())

    def _take_health(self, _: Supervised) -> None:
        self._supervising.look_around(self._around)

    def _stepped(self) -> None:
        core = self.core
        known = {check.name for check in core.checks.values() if check.known}
        self._passed = self._passed & known | {check.name for check in core.checks.values() if check.passing}
        health = Health(core.ready, core.failing, self._given_up(core), self._elsewhere(core))
        if self._runs and health != self._told:
            self._told = health
            self._on_event(health)
        self._on_step()

    def _given_up(self, core: Supervisor) -> str:
        """The service that is not restarted any more. None, once it is to stop: what ends then is meant to."""
        if self._around is _LEFT:
            return ""
        return next((readiness.stands(life) for life in core.lives if life.gave_up), "")

    def _elsewhere(self, core: Supervisor) -> str:
        """The failing check that nothing is done about here (`on_failure = "release"`)."""
        if self._around is _LEFT:
            return ""
        failing = (check for check in core.checks.values() if check.failing and check.duty.reaction == "release")
        return next((readiness.fails(check) for check in failing if self._had_its_time(check)), "")

    def _had_its_time(self, check: Watched) -> bool:
        """Whether its services are started, and it has passed since or had all the time of a start to do so."""
        about = [life for life in self.core.lives if life.name in check.duty.services]
        started = all(life.state is State.RUNNING for life in about)
        warm_by_ns = max((life.warm_by_ns for life in about), default=0)
        return started and (check.name in self._passed or time.monotonic_ns() >= warm_by_ns)


def _duties(config: Config) -> Duties:
    """What is to be looked after. There is one node that runs it, so no check can fail on every node."""
    asked = duties(config.services, config.checks, announce_s=0, drain_s=0, release_s=0)
    return dataclasses.replace(asked, checks=tuple(dataclasses.replace(one, serve_on=False) for one in asked.checks))
