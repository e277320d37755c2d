"""What goes into the core and what comes out of it: values, and nothing else.

Times are integers, nanoseconds of the node's own monotonic clock. Clocks of different nodes are never compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from farmd.core.evidence import Echo as Echo
from farmd.core.view import Epoch, View


class Status(IntEnum):
    """Where a node stands. The numbers travel on the wire."""

    JOINING = 0
    """Holds nothing and waits for a view that has it as a member."""
    UP = 1
    """A member that may own buckets."""
    DRAINING = 2
    """A member that owns nothing, or is about to; flows it already has stay."""
    LEAVING = 3
    """Holds nothing and is about to go; others need not wait for its silence."""
    FAILED = 4
    """Silent. Nobody says this of itself."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator decided for one node. Of two orders for a node the one with the greater stamp holds."""

    node: int
    stamp: tuple[int, int]
    """A Lamport counter, and the node where it was given (for equal counters)."""
    drained: bool
    weight: int | None
    """None: the weight of the node's own configuration."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A view on its way: prepared until every member has promised it, then committed."""

    view: View
    committed: bool
    losers: frozenset[int]
    """Members that hold buckets which the view gives to others; whoever gains waits for their release."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """Everything a node tells about itself. Each heartbeat carries all of it, so a lost one is repaired by the next."""

    status: Status
    weight: int
    """Its own configuration's."""
    ready: bool
    """Its supervision lets it own buckets."""
    failing: tuple[str, ...]
    """The names of its failing checks, in order."""
    draining: bool
    """It gives all its buckets away and takes none: not ready, drained or on its way out."""
    fit: bool
    """Every peer that this node hears also hears this node."""
    flows: bool
    """Flows may live here in buckets that others own."""
    installed: Epoch
    """The newest view whose buckets this node opened; in force only while it is a member."""
    members: frozenset[int]
    """Members of that view; empty while joining."""
    promised: Epoch
    """The newest view it promised. It opens nothing for an older one any more."""
    holds: bool
    """It holds buckets that the promised view gives to others."""
    released: Epoch
    """The newest view for which it has closed what that view gives to others."""
    dispensable: frozenset[int]
    """Nodes that a view may leave out as far as it knows: unheard for the suspicion time, or heard to hold nothing."""
    orders: tuple[Order, ...] = ()
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One authenticated message as it arrived."""

    sender: int
    incarnation: int
    seq: int
    echo: Echo | None
    state: NodeState


# -- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. The sockets were emptied first, so that nobody is judged by messages not yet read."""


@dataclass(frozen=True, slots=True)
class Received:
    """A heartbeat of a configured node arrived."""

    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class Flows:
    """Whether established flows were found here in buckets that the view `epoch` gives to others."""

    epoch: Epoch
    present: bool


@dataclass(frozen=True, slots=True)
class WitnessAnswered:
    """The witness answered a probe that was sent at `sent_ns`."""

    sent_ns: int


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's wish for a node; None leaves that side of the node's order as it is."""

    node: int
    drained: bool | None = None
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What this node's supervision says: whether it may own buckets, and which of its checks fail (sorted names)."""

    ready: bool
    failing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leave:
    """Go in peace: announce it, give all buckets away, wait for flows to end, but not after `deadline_ns`, then stop.
    A deadline that is not in the future leaves no time for an announcement."""

    deadline_ns: int


Event = Tick | Received | Flows | WitnessAnswered | Command | Health | Leave


# -- actions -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send this state to every configured peer, each with its own echo. Precedes the Lease it earns."""

    seq: int
    state: NodeState
    echoes: dict[int, Echo | None]


@dataclass(frozen=True, slots=True)
class Lease:
    """The filter may answer until then; 0 closes it at once."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class Install:
    """Make this table the one in force, with one switch."""

    states: bytes
    """A bucket state (see farmd.core.buckets.State) for every bucket."""
    hash_key_id: int
    epoch: Epoch
    """The view that it is for. A view that takes buckets from this node is installed twice: release, then the rest."""


@dataclass(frozen=True, slots=True)
class Note:
    """A transition worth a line in the log."""

    epoch: Epoch
    """The newest view in force here until then."""
    text: str


@dataclass(frozen=True, slots=True)
class TookOver:
    """Buckets of failed nodes are open here now, `silence_ns` after the last word heard of the first of them."""

    nodes: frozenset[int]
    silence_ns: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Left; nothing more to do."""


Action = Broadcast | Lease | Install | Note | TookOver | Stop
