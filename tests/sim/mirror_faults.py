"""What may go wrong in a simulated mirror."""

from __future__ import annotations

from dataclasses import dataclass

from tests.sim.faults import NetworkFaults


@dataclass(frozen=True, slots=True)
class Faults(NetworkFaults):
    """What may happen to nodes, as probabilities or as rates for each simulated second, and to messages."""

    slow_work: float = 0.0
    """Probability that an order, a store, or a start or stop of the application takes up to 2 s."""
    cuts: float = 0.0
    """One direction of one network."""
    partitions: float = 0.0
    """All networks."""
    freezes: float = 0.0
    """Of a daemon alone, or of a whole node."""
    crashes: float = 0.0
    """Of a daemon; its volume fences itself."""
    power_cuts: float = 0.0
    volume_deaths: float = 0.0
    volume_hangs: float = 0.0
    witness_cuts: float = 0.0
    """A node that the witness does not answer for a while."""
    disk_faults: float = 0.0
    """A volume that says that its disk does not do what it must."""
    applications: float = 0.0
    """An application that cannot be kept running on a node."""
    checks: float = 0.0
    """A check that fails for a while on a node, or on both."""
    orders: float = 0.0
    """Of an operator."""
    refusals: float = 0.0
    """Probability that a disk does not take a state at first."""
    doubts: float = 0.0
    """Probability that a state is on the disk although that has refused it."""
    stubborn_disks: float = 0.0
    """Disks that take no state at all for some seconds."""
    grudging_disks: float = 0.0
    """Probability that a disk takes no state for some seconds, just when it is given a generation."""
    ambushes: float = 0.0
    """Probability that something happens just when a node writes its state: then it is slow, and meanwhile a node dies,
    stands still or is cut off."""
