"""What may go wrong in a simulated farm."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faults:
    """What may go wrong, as probabilities for each message or as rates for each simulated second."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_ms_max: float = 2.0
    replays: float = 0.0
    """Probability that somebody records a message and sends it again up to 3 s later, true to the byte."""
    slow_delivery: float = 0.0
    """Probability of a delay of up to 300 ms (reorders, too)."""
    jitter_ms_max: float = 3.0
    """How late a daemon wakes up."""
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
