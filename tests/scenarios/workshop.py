"""Supervised nodes on a stage: commands in, what happens out, as the transcripts in supervisor/ have it.

The core is real. What it steers is played: services that start and stop, checks that pass while what they ask for is
well, and a membership that moves buckets within milliseconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Literal

from farmd.core.duties import CheckDuty, Duties, Limit, ServiceDuty
from farmd.core.life import FOREVER_NS
from farmd.core.settings import MS
from farmd.core.supervision_events import Probed, Started, Stopped
from farmd.core.supervisor import Supervisor
from farmd.core.supervisor_events import (
    Action,
    BeginService,
    Elapsed,
    EndService,
    Event,
    Finished,
    ProbeNow,
    Quit,
    Remark,
    ReportHealth,
    Surroundings,
    Wish,
)
from tests.scenarios.play import Play

PROBE_MS = 5
START_MS = 100
STOP_MS = 50
KILL_MS = 1000
"""How long a stop that hangs takes until it is forced."""
WORD_MS = 1
"""How long a node's word takes to another."""
MOVE_MS = 3
"""How long it takes until a node that is not ready owns nothing."""
HOUR_MS = 3_600_000
DOUBT_MS = 12_000


@dataclass(slots=True)
class Machine:
    """A node, and what runs on it."""

    name: str
    supervisor: Supervisor | None = None
    alive: set[str] = field(default_factory=set)
    """Services that run."""
    starting: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    """Checks whose object is broken, whatever runs."""
    starts_fail: set[str] = field(default_factory=set)
    stops_hang: set[str] = field(default_factory=set)
    mute: bool = False
    """Its attendant is frozen."""
    flows: bool = False
    left: bool = False
    released: bool = False
    failing: tuple[str, ...] = ()
    deadline_ns: int = FOREVER_NS
    run: int = 0
    """Counts farmd's starts; what an earlier one has under way is lost."""


class Stage(Play):
    """Machines with the same services and checks."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._services: list[ServiceDuty] = []
        self._checks: list[CheckDuty] = []
        self._intervals_ms: dict[str, int] = {}
        self._times: dict[str, int] = {}
        self.machines: dict[str, Machine] = {}

    # -- what there is -------------------------------------------------------------------------------------------------

    def _do_farm(self, size: str, *times: str) -> None:
        """`announce=MS`, `drain=MS`: how long a planned stop is announced, and waits for flows."""
        self.machines = {f"n{number}": Machine(f"n{number}") for number in range(1, int(size) + 1)}
        self._times = {name: int(value) for name, value in _pairs(times)}

    def _do_service(self, name: str, *rules: str) -> None:
        given = dict(_pairs(rules))
        managed = given.pop("managed", "yes") == "yes"
        warm_ms = int(given.pop("warm-up", "3000"))
        limit = Limit(int(given.pop("restarts", "3")), 24 * HOUR_MS * MS)
        assert not given, f"a service has no {given}"
        self._services.append(ServiceDuty(name, managed, warm_ms * MS))
        self._intervals_ms[name] = 1000
        reaction: Literal["restart", "release"] = "restart" if managed else "release"
        concerned = (name,) if managed else ()
        self._checks.append(
            CheckDuty(name, reaction, alive=True, services=concerned, limit=limit, doubt_ns=DOUBT_MS * MS)
        )

    def _do_check(self, name: str, reaction: str, *rules: str) -> None:
        given = dict(_pairs(rules))
        every_ms = int(given.pop("every", "1000"))
        services = given.pop("service", "")
        serve_on = given.pop("all-fail", "serve") == "serve"
        rise, fall = int(given.pop("rise", "2")), int(given.pop("fall", "3"))
        assert not given, f"a check has no {given}"
        assert reaction in ("restart", "release", "stop")
        concerned = (services,) if services else tuple(one.name for one in self._services if one.managed)
        self._intervals_ms[name] = every_ms
        self._checks.append(
            CheckDuty(
                name,
                reaction,  # type: ignore[arg-type]
                services=concerned,
                serve_on=serve_on,
                rise=rise,
                fall=fall,
                round_ns=3 * every_ms * MS,
                doubt_ns=DOUBT_MS * MS,
            )
        )

    # -- farmd ---------------------------------------------------------------------------------------------------------

    def _do_start_farmd(self, *names: str) -> None:
        for machine in self._these(names):
            machine.run += 1
            machine.left = machine.released = machine.flows = False
            machine.starting.clear()
            machine.supervisor = Supervisor(self._duties(), self.now_ns)
            for number, check in enumerate(self._checks):
                self._probe_again(machine, machine.run, check.name, 10 * (number + 1))
            self._step(machine, Elapsed())

    def _duties(self) -> Duties:
        announce_ns, drain_ns = (self._times.get(name, 0) * MS for name in ("announce", "drain"))
        return Duties(tuple(self._services), tuple(self._checks), announce_ns, drain_ns)

    def _do_kill_farmd(self, *names: str) -> None:
        for machine in self._these(names):
            machine.supervisor, machine.run, machine.failing = None, machine.run + 1, ()
            machine.deadline_ns = FOREVER_NS
            self._tell_everyone()

    def _do_end_farmd(self, name: str, how: str = "") -> None:
        """SIGTERM; `at-once`, the second one."""
        machine = self.machines[name]
        self._step(machine, Quit(forced=how == "at-once"))
        self._after(MOVE_MS if how or not machine.flows else 10_000, lambda: self._leave(machine))

    def _leave(self, machine: Machine) -> None:
        machine.left = True
        self._tell(machine)

    # -- what happens to it --------------------------------------------------------------------------------------------

    def _do_break(self, check: str, *names: str) -> None:
        for machine in self._these(names):
            machine.broken.add(check)

    def _do_repair(self, check: str, *names: str) -> None:
        for machine in self._these(names):
            machine.broken.discard(check)

    def _do_die(self, service: str, *names: str) -> None:
        for machine in self._these(names):
            machine.alive.discard(service)
            self._later(machine, 1, partial(self._answer, machine, service))

    def _do_starts_fail(self, service: str, *names: str) -> None:
        for machine in self._these(names):
            machine.starts_fail.add(service)

    def _do_starts_succeed(self, service: str, *names: str) -> None:
        for machine in self._these(names):
            machine.starts_fail.discard(service)

    def _do_stops_hang(self, service: str, *names: str) -> None:
        for machine in self._these(names):
            machine.stops_hang.add(service)

    def _do_freeze_attendant(self, name: str) -> None:
        self.machines[name].mute = True

    def _do_replace_attendant(self, name: str) -> None:
        self.machines[name].mute = False

    def _do_flows(self, name: str, until: str) -> None:
        """Old flows stay for so many ms."""
        machine = self.machines[name]
        machine.flows = True
        self._after(int(until), lambda: self._end_flows(machine))

    def _end_flows(self, machine: Machine) -> None:
        machine.flows = False
        self._tell(machine)

    # -- the operator --------------------------------------------------------------------------------------------------

    def _do_start(self, service: str, *names: str) -> None:
        self._wish(names, Wish(service, "start"))

    def _do_stop(self, service: str, *names: str) -> None:
        self._wish(names, Wish(service, "stop"))

    def _do_restart(self, service: str, *names: str) -> None:
        self._wish(names, Wish(service, "restart"))

    def _wish(self, names: tuple[str, ...], wish: Wish) -> None:
        for machine in self._these(names):
            self._step(machine, wish)

    # -- time and looking ----------------------------------------------------------------------------------------------

    def _do_run(self, ms: str) -> None:
        end_ns = self.now_ns + int(ms) * MS
        while (at_ns := self._next_ns()) <= end_ns:
            self.now_ns = max(self.now_ns, at_ns)
            if self._queue and self._queue[0][0] <= self.now_ns:
                heapq.heappop(self._queue)[2]()
            else:
                due = min(self.machines.values(), key=lambda machine: machine.deadline_ns)
                self._step(due, Elapsed())
        self.now_ns = end_ns

    def _next_ns(self) -> int:
        timers = [machine.deadline_ns for machine in self.machines.values()]
        return min([*timers, *(at_ns for at_ns, _, _ in self._queue[:1])])

    def _do_status(self) -> None:
        for machine in self.machines.values():
            core = machine.supervisor
            if core is None:
                self.lines.append(f"{machine.name}  farmd is off; running: {' '.join(sorted(machine.alive))}")
                continue
            states = [f"{life.name} {life.state}" for life in core.lives]
            states += [f"{name} {check.state}" for name, check in core.checks.items() if name not in core.lives]
            self.lines.append(f"{machine.name}  {', '.join(states)}; {core.reason or 'ready'}")

    # -- the machinery -------------------------------------------------------------------------------------------------

    def _these(self, names: tuple[str, ...]) -> Iterator[Machine]:
        return (self.machines[name] for name in names or self.machines)

    def _after(self, ms: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now_ns + round(ms * MS), next(self._order), do))

    def _later(self, machine: Machine, ms: float, do: Callable[[], None]) -> None:
        """Unless farmd starts anew before."""
        run = machine.run
        self._after(ms, lambda: do() if machine.run == run else None)

    def _probe_again(self, machine: Machine, run: int, check: str, ms: float) -> None:
        def probe() -> None:
            self._answer(machine, check)
            self._probe_again(machine, run, check, self._intervals_ms[check])

        self._later(machine, ms, probe)

    def _answer(self, machine: Machine, check: str) -> None:
        if machine.mute:
            return
        duty = next(one for one in self._checks if one.name == check)
        needed = {check} if duty.alive else set(duty.services)
        well = needed <= machine.alive and check not in machine.broken
        text = "" if well else "no process of it runs" if duty.alive else "no answer"
        self._step(machine, Probed(check, well, text, 5.0))

    def _step(self, machine: Machine, event: Event) -> None:
        if machine.supervisor is None:
            return
        for action in machine.supervisor.step(self.now_ns, event):
            self._execute(machine, action)
        machine.deadline_ns = machine.supervisor.deadline_ns

    def _execute(self, machine: Machine, action: Action) -> None:
        match action:
            case BeginService(service):
                machine.starting.add(service)
                self._later(machine, START_MS, lambda: self._begun(machine, service))
            case EndService(service, force):
                slow = service in machine.stops_hang and not force
                took_ms = KILL_MS if slow else STOP_MS
                machine.starting.discard(service)
                self._line(machine, f"> {'kill' if force else 'stop'} {service}")
                self._later(machine, took_ms, lambda: self._ended(machine, service, forced=slow or force))
            case ProbeNow(names):
                for name in names:
                    self._later(machine, PROBE_MS, partial(self._answer, machine, name))
            case ReportHealth(ready, failing):
                what = f", failing {' '.join(failing)}" if failing else ""
                self._line(machine, f"> {'ready' if ready else 'not ready'}{what}")
                machine.failing, machine.released = failing, False
                self._later(machine, 0 if ready else MOVE_MS, lambda: self._move(machine, released=not ready))
                self._after(WORD_MS, self._tell_everyone)
            case Remark(text):
                self._line(machine, text)
            case Finished():
                self._line(machine, "> finished")

    def _begun(self, machine: Machine, service: str) -> None:
        if service not in machine.starting:  # killed meanwhile
            return
        machine.starting.discard(service)
        ok = service not in machine.starts_fail
        if ok:
            machine.alive.add(service)
        self._step(machine, Started(service, ok, "" if ok else "exit code 1"))

    def _ended(self, machine: Machine, service: str, *, forced: bool) -> None:
        machine.alive.discard(service)
        self._step(machine, Stopped(service, True, "", forced))

    def _move(self, machine: Machine, *, released: bool) -> None:
        machine.released = released
        self._tell(machine)

    def _tell_everyone(self) -> None:
        for machine in self.machines.values():
            self._tell(machine)

    def _tell(self, machine: Machine) -> None:
        others = [other.failing for other in self.machines.values() if other is not machine and other.supervisor]
        shared = frozenset(machine.failing).intersection(*others) if others else frozenset[str]()
        self._step(machine, Surroundings(machine.released, machine.flows, shared, machine.left))

    def _line(self, machine: Machine, text: str) -> None:
        self.lines.append(f"{self.now_ns / MS:8.0f}  {machine.name}  {text}")


def _pairs(words: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, _, value = word.partition("=")
        yield name, value
