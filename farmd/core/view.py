"""A view: what all its members have agreed on. It never changes; the next one replaces it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import total_ordering

BUCKETS = 1024
NOBODY = 0
"""The owner of a bucket when every weight is zero. No node has this number."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Epoch:
    """The order of views. Two coordinators can choose one number, never one epoch."""

    number: int
    coordinator: int

    def __lt__(self, other: Epoch) -> bool:
        return (self.number, self.coordinator) < (other.number, other.coordinator)

    def __str__(self) -> str:
        return f"{self.number}.{self.coordinator}"


NEVER = Epoch(0, 0)


@dataclass(frozen=True, slots=True)
class Member:
    """A node as a view counts it."""

    id: int
    weight: int
    """As configured or ordered; a draining member keeps it for later and owns nothing now."""
    draining: bool = False
    """It gives its buckets away by its own word, or more of its checks fail than of others."""

    @property
    def share(self) -> int:
        """The weight that counts now."""
        return 0 if self.draining else self.weight


@dataclass(frozen=True, slots=True)
class View:
    """An immutable agreement of its members."""

    epoch: Epoch
    members: tuple[Member, ...]
    """In the order of their numbers."""
    owners: bytes
    """The owner's number for every bucket."""
    moving: int = 0
    """A bit for every bucket whose old flows may still live on a former owner: its owner fills it, others drain it."""
    failed: frozenset[int] = field(default=frozenset())
    """Nodes that were left out for their silence and have not come back: dead, or alive behind a cut."""
    hash_key_id: int = 0
    """Which of the farm's keys the hash of clients is derived from."""

    def __post_init__(self) -> None:
        assert len(self.owners) == BUCKETS
        assert 0 <= self.moving < 1 << BUCKETS

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(member.id for member in self.members)

    def member(self, node: int) -> Member | None:
        return next((member for member in self.members if member.id == node), None)

    def same_agreement(self, other: View) -> bool:
        """Whether both say the same, whatever their epochs."""
        return (self.members, self.owners, self.moving, self.failed, self.hash_key_id) == (
            other.members,
            other.owners,
            other.moving,
            other.failed,
            other.hash_key_id,
        )
