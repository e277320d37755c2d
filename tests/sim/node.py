"""A simulated machine: what a node has besides its core."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from farmd.core import buckets
from farmd.core.events import Event, Health
from farmd.core.membership import Membership

HEALTHY = Health(ready=True)


@dataclass
class Node:
    """A machine: a core that may be absent or frozen, and the filter below it."""

    id: int
    rate: float
    core: Membership | None = None
    frozen_until: int = 0
    inbox: list[Event] = field(default_factory=list)
    open_mask: int = 0
    table: bytes = buckets.CLOSED
    lease_until: int = 0
    """In the node's own clock, as the daemon writes it."""
    heard_ns: dict[int, int] = field(default_factory=dict)
    """When this run of the daemon last accepted a message from each peer, in simulated time."""
    witnessed_ns: int = -(1 << 62)
    """When the newest probe that the witness answered was sent, in simulated time."""
    alarm: int = 0
    """Names the one timer that counts."""
    alarm_ns: int = 0
    """The deadline it was set for, in the node's own clock."""
    generation: int = 0
    """Counts starts and stops, so that what was scheduled for an earlier run is dropped."""
    health: Health = HEALTHY
    """What the machine's supervision finds, whether or not the daemon knows it yet."""
    hands_over: bool = False
    """Once it has left it starts anew, as after SIGHUP."""
    epochs: list[tuple[int, int]] = field(default_factory=list)


@functools.lru_cache(maxsize=64)
def mask(table: bytes, states: frozenset[buckets.State]) -> int:
    """A bit for every bucket whose state is one of these."""
    flags = bytes(49 if state in states else 48 for state in reversed(table))
    return int(flags, 2)
