"""What the core is told once, at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from farmd.core.settings import MS, Speaking

S = 1000 * MS
"""Nanoseconds in a second."""


@dataclass(frozen=True, slots=True)
class Settings(Speaking):
    """One node's part of the configuration, in the core's units (nanoseconds)."""

    node: int
    peer: int
    heartbeat_ns: int = 100 * MS
    """H: how often a node speaks when nothing happens."""
    suspect_ns: int = 2 * S
    """D: a peer silent for this long is suspected."""
    lease_ns: int = 1 * S
    """L: how long the address answers after the daemon's last sign of life. L <= D - 3H - transit."""
    witness: bool = False
    witness_wait_ns: int = 2 * S
    """How long after the suspicion a follower waits for the witness; then it is undecided."""
    prefer: int | None = None
    """The node that serves if it can."""
    prefer_after_ns: int = 10 * S
    """For how long both must have been in sync before the preferred node gets its place back."""
    handover_ns: int = 10 * S
    """How long a planned switchover may take from when the application has ended; then it is taken back."""
    broken_ns: int = 300 * S
    """For how long a node on which the application could not be kept running is not given it again."""
    retry_ns: int = 30 * S
    """How long after a fault of its volume, or of an application that nobody else can run, a node tries again."""
    volume_silent_ns: int = 5 * S
    """A volume without a sign of life for so long, while it serves or follows in sync, hangs."""
    held_ns: int = 30 * S
    """How long changes wait for a disk that does not take the state which lets this node serve without its peer; then
    it is fenced, and what waits gets an error."""
    fingerprint: int = 0
    """Of what must be configured alike on both, 64 bits."""
    protocol: int = 1
    """The newest version of the stream that this program speaks."""
    names: Mapping[int, str] = field(default_factory=dict)
    """What people call the nodes."""
