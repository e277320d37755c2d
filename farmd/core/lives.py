"""The managed services of a node, down and up in their order: a service is stopped when the node owns nothing and those
after it are down, and started when those before it are up."""

from __future__ import annotations

from collections.abc import Iterator

from farmd.core.duties import Duties
from farmd.core.life import ENDING, FOREVER_NS, Life, State
from farmd.core.supervision_events import Stopped
from farmd.core.supervisor_events import (
    Action,
    BeginService,
    EndService,
    ProbeNow,
    Quit,
    Remark,
    Surroundings,
    Wish,
)


class Lives:
    """All of them, in the order in which they start."""

    def __init__(self, duties: Duties, now_ns: int) -> None:
        self._duties = duties
        self._lives = {duty.name: Life(duty, now_ns) for duty in duties.services if duty.managed}
        self.quitting: Quit | None = None

    def __iter__(self) -> Iterator[Life]:
        return iter(self._lives.values())

    def __contains__(self, name: str) -> bool:
        return name in self._lives

    def __getitem__(self, name: str) -> Life:
        return self._lives[name]

    def wanted(self, life: Life) -> bool:
        """Whether it is to run, all considered."""
        return life.wanted and self.quitting is None

    def moments(self) -> Iterator[int]:
        """When time alone makes a difference to one of them; some are past."""
        for life in self:
            match life.state:
                case State.STOPPED:
                    yield life.begins_ns
                case State.WARMING:
                    yield life.warm_by_ns
                case State.RELEASING:
                    yield from (life.serves_until_ns, self._patient_until_ns(life))

    # -- what people want ----------------------------------------------------------------------------------------------

    def wish(self, now_ns: int, wish: Wish) -> list[Action]:
        """Takes an operator's wish, which ends what was given up."""
        life = self[wish.service]
        life.wanted, life.gave_up = wish.verb != "stop", False
        life.restarts.clear()
        if life.state is State.FAILED:
            life.move(now_ns, State.STOPPED)
        if life.state is State.STOPPED and life.wanted:
            life.looked, life.begins_ns = False, now_ns
            return [ProbeNow((life.name,))]
        if wish.verb == "restart" and life.state in (State.RUNNING, State.WARMING):
            self.release(now_ns, life, "restart asked for", planned=True)
        return []

    def quit(self, now_ns: int, wish: Quit) -> list[Action]:
        """From now on nothing is started. Forced, what is under way is killed."""
        self.quitting = wish
        actions: list[Action] = []
        for life in self:
            if wish.forced and life.state is State.STARTING:
                life.move(now_ns, State.STOPPING)
                actions.append(_end(life, force=True))
            elif wish.forced and life.state is State.STOPPING and not life.forced:
                actions.append(_end(life, force=True))
        return actions

    # -- down ----------------------------------------------------------------------------------------------------------

    def release(self, now_ns: int, life: Life, why: str, *, planned: bool) -> None:
        """The first step to its stop: the node gives its buckets away, if it has any. To leave the farm is the
        membership's own business, so then the node stays ready."""
        life.serves_until_ns = now_ns
        if life.state is State.RUNNING and planned:
            life.serves_until_ns = FOREVER_NS if self.quitting is not None else now_ns + self._duties.announce_ns
        life.planned = planned
        life.move(now_ns, State.RELEASING, why)

    def wind_down(self, now_ns: int, around: Surroundings, *, ready: bool) -> list[Action]:
        """Goes as far as the order and the buckets allow. `ready`: the membership was told last that the node is."""
        actions: list[Action] = []
        for life in self:
            if not self.wanted(life):
                if life.state in (State.RUNNING, State.WARMING):
                    why = "this node serves no more" if life.wanted else "stop asked for"
                    self.release(now_ns, life, why, planned=True)
                elif life.state is State.STOPPED and not life.looked:
                    self.release(now_ns, life, "", planned=False)  # it may run
            if life.state is State.RELEASING and self._may_end(now_ns, life, around, ready=ready):
                life.move(now_ns, State.STOPPING, life.text)
                actions.append(_end(life, force=self.quitting is not None and self.quitting.forced))
        return actions

    def _may_end(self, now_ns: int, life: Life, around: Surroundings, *, ready: bool) -> bool:
        if any(other.state in ENDING or not (other.down or self.wanted(other)) for other in self._later(life)):
            return False
        if self.quitting is not None:
            return around.left
        if ready:
            return False
        gone = around.released and not (life.planned and around.flows)
        return gone or now_ns >= self._patient_until_ns(life)

    def _patient_until_ns(self, life: Life) -> int:
        patience_ns = max(self._duties.drain_ns, self._duties.release_ns) if life.planned else self._duties.release_ns
        return life.serves_until_ns + patience_ns

    def stopped(self, now_ns: int, report: Stopped) -> list[Action]:
        """A stop has ended. One that did not succeed is tried once more, by force."""
        life = self[report.service]
        if life.state is not State.STOPPING:
            return []
        if report.ok:
            life.looked = True
            life.move(now_ns, State.FAILED if life.gave_up else State.STOPPED, life.text)
            return [Remark(f"service {life.name} had to be killed")] if report.forced else []
        if not life.forced:
            return [_end(life, force=True)]
        life.wanted, life.gave_up = False, True
        life.move(now_ns, State.FAILED, f"it cannot be stopped: {report.text}")
        return [Remark(f"service {life.name} cannot be stopped: {report.text}")]

    # -- up ------------------------------------------------------------------------------------------------------------

    def begin(self, now_ns: int) -> list[Action]:
        """Starts what is down and whose turn it is."""
        actions: list[Action] = []
        for life in self:
            due = life.state is State.STOPPED and life.looked and self.wanted(life) and now_ns >= life.begins_ns
            if due and not any(self.wanted(other) and other.on_its_way for other in self._earlier(life)):
                life.begins_ns = now_ns
                life.move(now_ns, State.STARTING)
                actions += [Remark(f"service {life.name} is started"), BeginService(life.name)]
        return actions

    def _earlier(self, life: Life) -> list[Life]:
        lives = list(self)
        return lives[: lives.index(life)]

    def _later(self, life: Life) -> list[Life]:
        lives = list(self)
        return lives[lives.index(life) + 1 :]


def _end(life: Life, *, force: bool) -> EndService:
    life.forced = force
    return EndService(life.name, force)
