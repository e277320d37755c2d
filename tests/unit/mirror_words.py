"""Words, states and a core on a table, for the tests of mirrord's core."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from farmd.core.evidence import Echo
from farmd.core.settings import MS
from mirrord.core.events import Action, Broadcast, Command, Event, Heartbeat, Received, Reported, Store, Stored, Tick
from mirrord.core.generations import Condition, Generation, State
from mirrord.core.role import Core
from mirrord.core.settings import Settings
from mirrord.core.standing import Role, Word
from mirrord.orders import Done, Opened, Report

FIRST, SECOND = Generation(1, 1), Generation(2, 1)
INSYNC = State(FIRST, (), Condition.INSYNC)
OUTDATED = State(FIRST, (), Condition.OUTDATED)
ALONE = State(SECOND, (FIRST,), Condition.ALONE, served=True)
RUN = 900
"""The peer's incarnation."""

_WORD = Word(
    role=Role.WAIT,
    state=INSYNC,
    storing=False,
    yields=False,
    serves=False,
    ready=True,
    able=True,
    asks=False,
    follows=None,
    handed=None,
    wants_swap=False,
    empty=False,
    fingerprint=0,
    protocol=1,
)


def word(role: Role = Role.WAIT, state: State = INSYNC, **changes: Any) -> Word:
    """What a node says: it waits, in sync, unless `changes` say otherwise."""
    return replace(_WORD, role=role, state=state, **changes)


class Table:
    """One core, node 1 of two, and the hands that move it. Its peer says what it is told to, and hears everything."""

    def __init__(self, state: State = INSYNC, **settings: Any) -> None:
        self.now_ns = 1_000 * MS
        self.core = Core(Settings(1, 2, names={1: "n1", 2: "n2"}, **settings), 5, state, self.now_ns)
        self.said: Word | None = None
        self._seq = 0
        self._heard_seq = 0

    @property
    def newest(self) -> int:
        """The number of the last thing that the core has said."""
        return self._seq

    def step(self, event: Event) -> list[Action]:
        """The actions but heartbeats, which are only counted."""
        actions = self.core.step(self.now_ns, event)
        for action in actions:
            if isinstance(action, Broadcast):
                self._seq, self.said = action.seq, action.state
        return [action for action in actions if not isinstance(action, Broadcast)]

    def tick(self, ms: int = 100) -> list[Action]:
        self.now_ns += ms * MS
        return self.step(Tick())

    def open(self, *, empty: bool = False) -> None:
        self.step(Reported(Opened(empty, unclean=False)))
        self.done()

    def report(self, report: Report) -> list[Action]:
        return self.step(Reported(report))

    def done(self, seq: int = 0) -> list[Action]:
        """All orders are carried out, and those that follow, too."""
        actions: list[Action] = []
        while self.core.machine.volume.orders:
            actions += self.report(Done(seq))
        return actions

    def stored(self) -> list[Action]:
        return self.step(Stored())

    def hears(self, said: Word, *, deaf: bool = False) -> list[Action]:
        """A heartbeat of the peer a millisecond later; it has heard our newest message, or is deaf."""
        self.now_ns += MS
        self._heard_seq += 1
        echoed = self._seq if not deaf else 1
        return self.step(Received(Heartbeat(2, RUN, self._heard_seq, Echo(5, echoed), said)))


def orders(actions: list[Action]) -> list[str]:
    """The names of the orders to the volume."""
    return [type(action.order).__name__ for action in actions if isinstance(action, Command)]


def states(actions: list[Action]) -> list[State]:
    """What is given to the disk."""
    return [action.state for action in actions if isinstance(action, Store)]
