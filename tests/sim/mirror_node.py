"""A simulated machine of a mirror: what survives a power failure, and what does not."""

from __future__ import annotations

from dataclasses import dataclass, field

from mirrord.core.events import Event
from mirrord.core.generations import State
from mirrord.core.role import Core
from tests.sim.mirror_volume import Volume

NEVER = -(1 << 62)


@dataclass
class Node:
    """A machine. Its daemon may be absent or frozen; the volume below it goes on by itself meanwhile."""

    id: int
    # -- what survives
    state: State = field(default_factory=State)
    data: set[int] = field(default_factory=set)
    """The writes in its directories."""
    torn: bool = False
    """A resync is under way: what is in its directories is of two generations."""
    refuses_until: int = 0
    """Till then its disk takes no state."""
    # -- the daemon
    core: Core | None = None
    run: int = 0
    """Counts starts and stops, so that what was scheduled for an earlier run is dropped."""
    frozen_since: int = 0
    frozen_until: int = 0
    inbox: list[Event] = field(default_factory=list)
    alarm: int = 0
    alarm_ns: int = 0
    stores: int = 0
    """Counts the refused states that were given up."""
    # -- what it steers
    volume: Volume | None = None
    volume_frozen_until: int = 0
    address: bool = False
    lease_until: int = 0
    """In the node's own clock."""
    application: int = 0
    """Counts its starts; 0 while it is off."""
    starts: int = 0
    cannot_run: bool = False
    check_fails: bool = False
    """A check of its application, while that runs here."""
    # -- what is known of it, in simulated time
    heard_ns: int = NEVER
    """When it last accepted a message of its peer."""
    inbox_ns: int = NEVER
    """When a message of its peer came last that it heard only when it had been thawed."""
    heard_gap_ns: int = 0
    """How long before it had sent that message the peer had heard this node last."""
    awake_ns: int = 0
    """Since when it has not stood still for as long as matters."""
    witnessed_ns: int = NEVER
    """When the newest probe that the witness answered was sent."""
    forced: bool = False
    """An operator has just promoted it."""
