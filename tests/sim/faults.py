"""What may go wrong in a simulated farm, and on any simulated network."""

from __future__ import annotations

import random
from dataclasses import dataclass

from farmd.core.settings import MS


@dataclass(frozen=True, slots=True)
class NetworkFaults:
    """What may happen to each message, as probabilities."""

    loss: float = 0.0
    duplication: float = 0.0
    replays: float = 0.0
    """Somebody records it and sends it again up to 3 s later, true to the byte."""
    delay_ms_max: float = 2.0
    slow_delivery: float = 0.0
    """A delay of up to 300 ms (reorders, too)."""
    jitter_ms_max: float = 3.0
    """How late a daemon wakes up."""

    def delay_ns(self, chance: random.Random) -> int:
        """Of the next message."""
        slow = chance.random() < self.slow_delivery
        return int(chance.uniform(0.05, 300 if slow else self.delay_ms_max) * MS)


@dataclass(frozen=True, slots=True)
class Faults(NetworkFaults):
    """And what may happen to nodes, as rates for each simulated second."""

    drift: float = 0.0
    """How far a clock may run fast or slow, as a fraction."""
    one_way_cuts: float = 0.0
    partitions: float = 0.0
    freezes: float = 0.0
    crashes: float = 0.0
    planned: float = 0.0
    """Drains, changes of weight, planned stops."""
    witness_cuts: float = 0.0
    """A node that the witness does not answer for a while."""
    health: float = 0.0
    """A node's checks begin or cease to fail, some of them so that it must own nothing."""
