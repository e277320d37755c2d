"""What a node does about its services and checks: step(now, event) -> actions.

A service is started, its checks pass, then the node may own buckets; the node gives them away, then the service is
stopped. So between "this node is not ready" and a stop lies the membership's word that nothing comes here any more;
for a planned stop also that old flows have ended. A broken service waits for the first of these only, and not for
long, since it serves nobody.

A failing check whose failure may be everybody's (`serve_on`) takes this road:

1. Its name is reported, and the node stays ready. Members with fewer failing checks get the buckets at once, so from
   here on nothing depends on how fast this node is; if there are none, it serves on.
2. To restart or stop a service for it waits for a round: the time in which the others, too, find out. Nodes do not
   notice an outage behind them at the same moment, and the first must not restart before the last has seen it.
3. As long as every node fails it, nothing is done. When that ends, a round begins again: an outage does not end for
   all at the same moment either, and the last must not restart because the first are well.

What a check says of a service that is not to run is no evidence of a common cause and is not reported.

Nothing but a new result makes a node ready. When results stay away, what was ready stays so, but its doubtful checks
count as failing, so that nodes in no doubt come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from farmd.core.duties import Duties
from farmd.core.life import FOREVER_NS, Life, State
from farmd.core.lives import Lives
from farmd.core.readiness import fails, obstacle, passes
from farmd.core.supervision_events import Probed, Started, Stopped
from farmd.core.supervisor_events import (
    Action,
    Elapsed,
    Event,
    Finished,
    ProbeNow,
    Quit,
    Remark,
    ReportHealth,
    Surroundings,
    Wish,
)
from farmd.core.watched import Watched


class Supervisor:
    """The services and checks of one node."""

    def __init__(self, duties: Duties, now_ns: int) -> None:
        self.checks = {duty.name: Watched(duty, now_ns) for duty in duties.checks}
        self.lives = Lives(duties, now_ns)
        self._around = Surroundings()
        self._finished = False
        self._now_ns = now_ns
        self._out: list[Action] = []
        self.failing: tuple[str, ...] = ()
        """The names of the failing checks, as reported last."""
        self.reason = obstacle(self.lives, self.checks.values(), now_ns, ready=False)
        """Why the node may own no buckets, in a sentence; empty when it may."""

    # -- what others read ----------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the node may own buckets, as reported last."""
        return not self.reason

    @property
    def stopped(self) -> bool:
        """Whether a service does not run because an operator or a limit of restarts says so."""
        return any(not life.wanted for life in self.lives)

    @property
    def announced(self) -> bool:
        """Whether a planned stop of a service has begun, or is announced."""
        return any(life.state is State.RELEASING and life.planned for life in self.lives)

    @property
    def deadline_ns(self) -> int:
        """When Elapsed is due; FOREVER_NS if nothing is waited for."""
        return min((at_ns for at_ns in self._moments() if at_ns > self._now_ns), default=FOREVER_NS)

    def _moments(self) -> Iterator[int]:
        yield from self.lives.moments()
        for check in self.checks.values():
            yield check.heard_ns + check.duty.doubt_ns
            if check.failing:
                yield check.own_fault_ns()

    # -- the one way in ------------------------------------------------------------------------------------------------

    def step(self, now_ns: int, event: Event) -> list[Action]:
        """Takes one event and returns what must be done, in this order."""
        self._now_ns, self._out = now_ns, []
        match event:
            case Probed():
                self._probed(now_ns, event)
            case Started():
                self._started(now_ns, event)
            case Stopped():
                self._out += self.lives.stopped(now_ns, event)
            case Surroundings():
                self._look_around(now_ns, event)
            case Wish():
                self._out += self.lives.wish(now_ns, event)
            case Quit():
                self._out += self.lives.quit(now_ns, event)
            case Elapsed():
                pass
        self._react(now_ns)
        for life in self.lives:
            if life.state is State.WARMING:
                self._warm_up(now_ns, life)
        self._out += self.lives.wind_down(now_ns, self._around, ready=self.ready)
        self._out += self.lives.begin(now_ns)
        self._report(now_ns)
        return self._out

    def _probed(self, now_ns: int, result: Probed) -> None:
        check = self.checks[result.name]
        # Of a service that is not up a check has nothing surprising to say, and of a new one its first word counts.
        up = all(life.state is State.RUNNING for life in self._concerned(check))
        first = not check.known
        if check.take(now_ns, result, dampened=up) and up and (check.failing or not first):
            self._remark(passes(check) if check.passing else fails(check))
        if result.name in self.lives:
            self._look_at(now_ns, self.lives[result.name], alive=result.passed)

    def _look_at(self, now_ns: int, life: Life, *, alive: bool) -> None:
        """The first look at a service tells whether it must be started."""
        if life.state is not State.STOPPED or life.looked:
            return
        life.looked = True
        if alive and self.lives.wanted(life):
            life.begins_ns = now_ns
            life.move(now_ns, State.WARMING, "it was running already")
            self._remark(f"service {life.name} runs already")

    def _started(self, now_ns: int, report: Started) -> None:
        life = self.lives[report.service]
        if life.state is not State.STARTING:
            return
        if not report.ok:
            self._start_failed(now_ns, life, report.text)
            return
        life.move(now_ns, State.WARMING)
        about = [check for check in self.checks.values() if life.name in check.duty.services]
        for check in about:
            check.forget(now_ns)
        self._out.append(ProbeNow(tuple(check.name for check in about)))

    def _look_around(self, now_ns: int, around: Surroundings) -> None:
        for name in self._around.everyone_fails & self.checks.keys():
            self.checks[name].common_ns = now_ns
        for name in sorted(around.everyone_fails - self._around.everyone_fails):
            if self.ready and name in self.checks:
                self._remark(f"check {name} fails on every node: all serve on")
        self._around = around

    # -- reactions -----------------------------------------------------------------------------------------------------

    def _react(self, now_ns: int) -> None:
        """Restarts or stops what failing checks are about."""
        for check in self.checks.values():
            if check.failing and check.duty.reaction != "release" and self._own_fault(check, now_ns):
                for life in self._concerned(check):
                    if life.state is State.RUNNING:
                        self._put_right(now_ns, life, check)

    def _own_fault(self, check: Watched, now_ns: int) -> bool:
        return not self._common(check) and now_ns >= check.own_fault_ns()

    def _common(self, check: Watched) -> bool:
        return check.duty.serve_on and check.name in self._around.everyone_fails

    def _put_right(self, now_ns: int, life: Life, check: Watched) -> None:
        limit, why = check.duty.limit, "it does not run" if check.name == life.name else fails(check)
        used = life.restarts_within(limit, now_ns)
        if check.duty.reaction == "restart" and used < limit.restarts:
            life.restarts.append(now_ns)
            window_h = limit.window_ns / 3.6e12
            self._remark(f"service {life.name} is restarted ({used + 1} of {limit.restarts} in {window_h:g} h)")
        else:
            life.wanted, life.gave_up = False, True
            tried = f" after {used} restarts" if used else ""
            self._remark(f"service {life.name} is given up{tried} and stays stopped; when it is repaired: "
                         f"farmctl start {life.name}")  # fmt: skip
        self.lives.release(now_ns, life, why, planned=False)

    def _start_failed(self, now_ns: int, life: Life, why: str) -> None:
        if not self.lives.wanted(life):
            self.lives.release(now_ns, life, why, planned=False)
            return
        self._remark(f"service {life.name} did not start: {why}")
        self._put_right(now_ns, life, self.checks[life.name])
        life.text, life.begins_ns = f"it did not start: {why}", now_ns + life.duty.pause_ns

    def _warm_up(self, now_ns: int, life: Life) -> None:
        late = now_ns >= life.warm_by_ns
        cold = [check for check in self.checks.values() if _is_part(check, life) and not check.passing]
        if late:  # what everybody fails by then is not for want of time
            cold = [check for check in cold if not self._common(check)]
        if not cold:
            life.move(now_ns, State.RUNNING)
            self._remark(f"service {life.name} runs")
        elif late:
            for other in self._concerned(cold[0]):
                if other.state is State.WARMING:
                    self._start_failed(now_ns, other, fails(cold[0]))

    # -- what it amounts to --------------------------------------------------------------------------------------------

    def _report(self, now_ns: int) -> None:
        failing = tuple(sorted(check.name for check in self.checks.values() if self._counts(check, now_ns)))
        reason = obstacle(self.lives, self.checks.values(), now_ns, ready=self.ready)
        for name in sorted(set(failing) - set(self.failing)):
            if not self.checks[name].failing:
                self._remark(f"check {name} gives no results any more")
        told = (self.ready, self.failing)
        self.reason, self.failing = reason, failing
        if self.ready != told[0]:
            self._remark("ready" if self.ready else f"not ready: {reason}")
        if (self.ready, failing) != told:
            if not self.ready:  # what was said of a node that was ready does not count
                self._around = replace(self._around, released=False)
            self._out.append(ReportHealth(self.ready, failing))
        gone = self.lives.quitting is not None and self._around.left and all(life.down for life in self.lives)
        if gone and not self._finished:
            self._finished = True
            self._out.append(Finished())

    def _counts(self, check: Watched, now_ns: int) -> bool:
        """Whether it is reported as failing."""
        idle = any(not life.wanted for life in self._concerned(check))
        return (check.failing or check.doubtful(now_ns)) and not idle

    # -- small words ---------------------------------------------------------------------------------------------------

    def _concerned(self, check: Watched) -> list[Life]:
        return [self.lives[name] for name in check.duty.services]

    def _remark(self, text: str) -> None:
        self._out.append(Remark(text))


def _is_part(check: Watched, life: Life) -> bool:
    """Whether the service's start is complete only with it; what others than the service can break is no part of it."""
    return check.name == life.name or (check.duty.reaction != "release" and life.name in check.duty.services)
