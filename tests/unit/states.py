"""States and heartbeats to put into the core's parts, one by one."""

from __future__ import annotations

from dataclasses import replace

from farmd.core.events import Echo, Heartbeat, NodeState, Proposal, Status
from farmd.core.settings import MS, Settings
from farmd.core.view import BUCKETS, NEVER, Epoch, Member, View

JOINING = NodeState(
    status=Status.JOINING,
    weight=100,
    ready=True,
    failing=(),
    draining=False,
    fit=True,
    flows=False,
    installed=NEVER,
    members=frozenset(),
    promised=NEVER,
    holds=False,
    released=NEVER,
    dispensable=frozenset(),
)
"""What a node says that has just started."""

RUN = 77
"""The incarnation of a peer."""


def up(view: View, **changes: object) -> NodeState:
    """What a node says that follows a view."""
    state = replace(JOINING, status=Status.UP, installed=view.epoch, members=view.ids, promised=view.epoch)
    return replace(state, **changes)  # type: ignore[arg-type]


def beat(
    sender: int, seq: int, echo: Echo | None = None, state: NodeState = JOINING, incarnation: int = RUN
) -> Heartbeat:
    return Heartbeat(sender, incarnation, seq, echo, state)


def view_of(epoch: Epoch, *nodes: int, moving: int = 0) -> View:
    """A view in which the first node owns everything."""
    return View(epoch, tuple(Member(node, 100) for node in nodes), bytes([nodes[0]]) * BUCKETS, moving)


def prepared(view: View) -> Proposal:
    return Proposal(view, committed=False, losers=frozenset())


def committed(view: View, *losers: int) -> Proposal:
    return Proposal(view, committed=True, losers=frozenset(losers))


def settings(node: int, size: int, **changes: object) -> Settings:
    return Settings(node, 100, frozenset(range(1, size + 1)), **changes)  # type: ignore[arg-type]


def ms(count: float) -> int:
    return int(count * MS)
