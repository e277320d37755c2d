"""One managed service: where it stands, where it is to go, and how often it was restarted."""

from __future__ import annotations

from enum import StrEnum

from farmd.core.duties import Limit, ServiceDuty

FOREVER_NS = 2**63 - 1


class State(StrEnum):
    """Where a service stands. The values are what people and programs are told."""

    STOPPED = "stopped"
    STARTING = "starting"
    WARMING = "warming"
    """Started; its checks do not pass yet."""
    RUNNING = "running"
    RELEASING = "releasing"
    """To be stopped, as soon as the node owns nothing."""
    STOPPING = "stopping"
    FAILED = "failed"
    """Given up, until an operator starts it."""


MOVES = {
    State.STOPPED: {State.STARTING, State.WARMING, State.RELEASING},  # WARMING: it was found alive
    State.STARTING: {State.WARMING, State.RELEASING, State.STOPPING},
    State.WARMING: {State.RUNNING, State.RELEASING},
    State.RUNNING: {State.RELEASING},
    State.RELEASING: {State.STOPPING},
    State.STOPPING: {State.STOPPED, State.FAILED},
    State.FAILED: {State.STOPPED},
}
"""What may follow what."""

DOWN = frozenset({State.STOPPED, State.FAILED})
ENDING = frozenset({State.RELEASING, State.STOPPING})


class Life:
    """A managed service. At first it is not known whether it runs: a farmd before this one may have left it running."""

    def __init__(self, duty: ServiceDuty, now_ns: int) -> None:
        self.duty = duty
        self.state = State.STOPPED
        self.since_ns = now_ns
        self.text = ""
        """Why it is where it is, for people."""
        self.wanted = True
        """It is to run."""
        self.gave_up = False
        """It is not to run because restarts did not help; else because an operator or the end of farmd wants so."""
        self.looked = False
        """Whether it is known that it does not run, when it is STOPPED."""
        self.begins_ns = now_ns
        """When it was started last, or may be started again."""
        self.serves_until_ns = 0
        """While RELEASING: until when it still serves, because its stop is only announced yet."""
        self.planned = False
        """While RELEASING: old flows are waited for."""
        self.forced = False
        """While STOPPING: it is being killed."""
        self.restarts: list[int] = []
        """When it was restarted because it or a check of it failed."""

    @property
    def name(self) -> str:
        return self.duty.name

    @property
    def down(self) -> bool:
        return self.state in DOWN

    @property
    def on_its_way(self) -> bool:
        """Whether it is to run and has not been started yet."""
        return self.wanted and self.state not in (State.WARMING, State.RUNNING)

    def serves(self, now_ns: int) -> bool:
        """Whether clients may come: it runs, or its stop is only announced yet."""
        announced = self.state is State.RELEASING and now_ns < self.serves_until_ns
        return self.state is State.RUNNING or announced

    def move(self, now_ns: int, state: State, text: str = "") -> None:
        """Goes on to the next state."""
        assert state in MOVES[self.state], f"{self.name} cannot go from {self.state} to {state}"
        self.state, self.since_ns, self.text = state, now_ns, text

    def restarts_within(self, limit: Limit, now_ns: int) -> int:
        """How often it was restarted in the limit's window."""
        return sum(1 for at_ns in self.restarts if now_ns - at_ns < limit.window_ns)

    @property
    def warm_by_ns(self) -> int:
        """When its start counts as failed."""
        return self.begins_ns + self.duty.start_timeout_ns
