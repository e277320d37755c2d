"""One node's part in the mirror: step(now, event) -> actions. (The signature for those who build on it; being written.)"""

from __future__ import annotations

from farmd.core.evidence import Evidence
from mirrord.core.events import Action, Event
from mirrord.core.generations import State
from mirrord.core.settings import Settings
from mirrord.core.standing import Readiness, Role, Word


class Core:
    """The state of one node. `incarnation` names this run and must differ from every earlier one's; `state` is what is
    on disk (State() if nothing is)."""

    def __init__(self, settings: Settings, incarnation: int, state: State, now_ns: int) -> None:
        self.settings = settings
        self.evidence = Evidence[Word]([settings.peer], incarnation, now_ns, settings.suspect_ns, settings.stale_ns)
        self.state = state
        """What is on disk."""
        self.role = Role.WAIT
        self.readiness = Readiness.TRANSIENT
        self.reason = ""
        """Why it is not ready, in a sentence."""
        self.in_sync = False
        self.linked = False
        self.lease_until_ns = 0
        self.clocks_apart_ns = 0

    @property
    def deadline_ns(self) -> int:
        """When the next Tick is due."""
        raise NotImplementedError

    def in_doubt(self, now_ns: int) -> bool:
        """Whether the witness's word may be needed: ask it at every Tick then."""
        raise NotImplementedError

    def objection(self, wish: Event, now_ns: int) -> str:
        """Why an operator's wish cannot be fulfilled now, in a sentence; empty if it can. Ask before `step`."""
        raise NotImplementedError

    def step(self, now_ns: int, event: Event) -> list[Action]:
        """Takes one event and returns what must be done, in this order."""
        raise NotImplementedError
