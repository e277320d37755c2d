"""What the core is told once, at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MS = 1_000_000
"""Nanoseconds in a millisecond."""


class Speaking:
    """What follows from the settings of a node that sends heartbeats, of a farm or a mirror."""

    __slots__ = ()
    heartbeat_ns: int
    suspect_ns: int
    names: Mapping[int, str]

    def name_of(self, node: int) -> str:
        return self.names.get(node, str(node))

    @property
    def stale_ns(self) -> int:
        """The age from which an echo says that our messages are being lost: 2H."""
        return 2 * self.heartbeat_ns

    @property
    def excluded_ns(self) -> int:
        """How long a node may have been deaf or asleep before the others may have gone on without it: D - 3H."""
        return self.suspect_ns - 3 * self.heartbeat_ns


@dataclass(frozen=True, slots=True)
class Settings(Speaking):
    """One node's part of the configuration, in the core's units (nanoseconds)."""

    node: int
    weight: int
    nodes: frozenset[int]
    """All configured nodes, this one included."""
    heartbeat_ns: int = 50 * MS
    """H: how often a node speaks when nothing happens."""
    suspect_ns: int = 400 * MS
    """D: a peer silent for this long is suspected."""
    lease_ns: int = 200 * MS
    """L: how long the filter answers after the daemon's last sign of life. L <= D - 3H - transit."""
    settle_ns: int = 10_000 * MS
    """How old a view must be before its moving buckets may be declared settled, and before a failed node is taken for
    one that lives behind a cut: until then its clients are told by resets that their flows are dead."""
    drain_ahead_ns: int = 0
    """How long a drain or a stop is announced before buckets move."""
    quorum: Literal["none", "majority"] = "none"
    witness: bool = False
    hash_key_ids: tuple[int, ...] = (0,)
    """The keys this node has, the preferred one first."""
    names: Mapping[int, str] = field(default_factory=dict)
    """What people call the nodes."""

    @property
    def urgent_ns(self) -> int:
        """How often a node speaks while a view is on its way, so that a lost message costs little."""
        return self.heartbeat_ns // 5

    @property
    def majority(self) -> int:
        """The fewest nodes that are more than half of all."""
        return len(self.nodes) // 2 + 1
