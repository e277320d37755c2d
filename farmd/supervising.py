"""The glue between supervisor, attendant and a daemon's core: what a node runs and how it is watched.

Reports of the attendant, words of the core, wishes of operators and time go into the core one after the other,
also when one is the consequence of another.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from farmd.core.duties import CheckDuty, Duties, Limit, ServiceDuty
from farmd.core.events import Health
from farmd.core.life import FOREVER_NS
from farmd.core.supervisor import Supervisor
from farmd.core.supervisor_events import (
    Action,
    BeginService,
    Elapsed,
    EndService,
    Event,
    Finished,
    ProbeNow,
    Remark,
    ReportHealth,
    Surroundings,
)
from farmd.supervision.schema import Check, Service

if TYPE_CHECKING:
    from farmd.supervision.attendant import Attendant

NS = 1_000_000_000
DOUBT_S = 10.0
"""How long results may be late before they are in doubt: ample for the attendant to be replaced."""
START_PAUSE_S = 1.0
"""Between a start that failed and the next."""


class Supervising:
    """One node's supervision. Without services and checks it says that the node is ready, and starts no attendant."""

    def __init__(
        self,
        services: Sequence[Service],
        checks: Sequence[Check],
        scope: str,
        duties: Duties,
        *,
        on_health: Callable[[Health], None],
        on_remark: Callable[[str], None],
        on_finished: Callable[[], None],
        on_step: Callable[[], None],
        outlive: bool = True,
    ) -> None:
        """scope: the farm's or mirror's name. on_health: what the membership shall know. on_remark: what the log shall.
        on_finished: after Quit, once no managed service runs any more. on_step: after every step, which may have
        changed what is told of this node. outlive: services live on when this process ends without a Quit."""
        self._on_health, self._on_remark, self._on_finished = on_health, on_remark, on_finished
        self._on_step = on_step
        self._duties = duties
        self.core = Supervisor(duties, time.monotonic_ns())
        self._attendant: Attendant | None = None
        if services or checks:
            from farmd.supervision.attendant import Attendant  # who has nothing to look after does not load it

            self._attendant = Attendant(services, checks, scope, self.step, outlive=outlive)
        self._around: Surroundings | None = None
        """What the core was told last; None where it must be told again."""
        self._pending: deque[Event] = deque()
        self._stepping = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to look after."""
        return self._attendant is None

    def prepare(self) -> None:
        """Makes a start quick, some time later."""
        if self._attendant is not None:
            self._attendant.prepare()

    async def start(self) -> None:
        """Starts to look, from nothing known on. MachineError if that is not possible."""
        self.core = Supervisor(self._duties, time.monotonic_ns())
        if self._attendant is not None:
            await self._attendant.start()
            self._schedule()

    async def close(self) -> None:
        """Looks no more. Services go on."""
        if self._timer is not None:
            self._timer.cancel()
        if self._attendant is not None:
            await self._attendant.close()

    def look_around(self, around: Surroundings) -> None:
        """Tells the core what has changed around it."""
        if around != self._around:
            self.step(around)

    def step(self, event: Event) -> None:
        """Hands the core an event and carries out what it answers with."""
        self._pending.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._pending:
                event = self._pending.popleft()
                if isinstance(event, Surroundings):
                    self._around = event
                for action in self.core.step(time.monotonic_ns(), event):
                    self._execute(action)
        finally:
            self._stepping = False
        self._schedule()
        self._on_step()

    def _execute(self, action: Action) -> None:
        match action:
            case BeginService(service):
                self._attending.begin(service)
            case EndService(service, force):
                self._attending.end(service, force=force)
            case ProbeNow(names):
                self._attending.probe_now(*names)
            case ReportHealth(ready, failing):
                self._around = None
                self._on_health(Health(ready, failing))
            case Remark(text):
                self._on_remark(text)
            case Finished():
                self._on_finished()

    @property
    def _attending(self) -> Attendant:
        assert self._attendant is not None
        return self._attendant

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.core.deadline_ns < FOREVER_NS:
            self._timer = asyncio.get_running_loop().call_at(self.core.deadline_ns / NS, self.step, Elapsed())


def duties(
    services: Sequence[Service], checks: Sequence[Check], *, announce_s: float, drain_s: float, release_s: float
) -> Duties:
    """What the core needs to know; the times are those of Duties."""
    managed = tuple(service.name for service in services if service.managed)
    return Duties(
        services=tuple(_service_duty(service) for service in services),
        checks=(
            *(_alive_duty(service) for service in services),
            *(_check_duty(check, managed) for check in checks),
        ),
        announce_ns=_ns(announce_s),
        drain_ns=_ns(drain_s),
        release_ns=_ns(release_s),
    )


def _service_duty(service: Service) -> ServiceDuty:
    return ServiceDuty(service.name, service.managed, _ns(service.start_timeout_s), _ns(START_PAUSE_S))


def _alive_duty(service: Service) -> CheckDuty:
    return CheckDuty(
        service.name,
        reaction=service.on_failure if service.managed else "release",
        alive=True,
        services=(service.name,) if service.managed else (),
        limit=Limit(service.max_restarts, _ns(service.restart_window_s)),
        doubt_ns=_ns(service.interval_s + service.status_timeout_s + DOUBT_S),
    )


def _check_duty(check: Check, managed: tuple[str, ...]) -> CheckDuty:
    return CheckDuty(
        check.name,
        reaction=check.on_failure,
        services=(check.service,) if check.service in managed else managed if not check.service else (),
        serve_on=check.when_all_fail == "serve",
        rise=check.rise,
        fall=check.fall,
        limit=Limit(check.max_restarts, _ns(check.restart_window_s)),
        round_ns=_ns(check.interval_s + 2 * check.timeout_s),
        doubt_ns=_ns(check.interval_s + check.timeout_s + DOUBT_S),
    )


def _ns(seconds: float) -> int:
    return round(seconds * NS)
