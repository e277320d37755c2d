"""What the supervisor is told once, at its start: the services and checks of a node. Times are in nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Limit:
    """How many restarts are tried within which time."""

    restarts: int
    window_ns: int


@dataclass(frozen=True, slots=True)
class CheckDuty:
    """A check, and what follows when it fails. Every service brings one of its own, of its own name: is it alive?"""

    name: str
    reaction: Literal["restart", "release", "stop"]
    alive: bool = False
    """It is a service's own."""
    services: tuple[str, ...] = ()
    """The managed services that it tells about, which are those that its reaction is for."""
    serve_on: bool = False
    """If every node fails it, all serve on."""
    rise: int = 1
    fall: int = 1
    limit: Limit = Limit(3, 86_400_000_000_000)
    round_ns: int = 0
    """The time within which any other node, too, finds out that what it asks for is broken: between two tries, and the
    longest that they take."""
    doubt_ns: int = 2**62
    """Without a result for so long, it is not known any more."""


@dataclass(frozen=True, slots=True)
class ServiceDuty:
    """A service."""

    name: str
    managed: bool = True
    """False: only its check counts."""
    start_timeout_ns: int = 60_000_000_000
    """From the start until its checks pass."""
    pause_ns: int = 1_000_000_000
    """Between a start that failed and the next."""


@dataclass(frozen=True, slots=True)
class Duties:
    """All that a node has to look after."""

    services: tuple[ServiceDuty, ...] = ()
    """In the order in which they start."""
    checks: tuple[CheckDuty, ...] = ()
    """The services' own among them."""
    announce_ns: int = 0
    """How long before buckets move a planned stop is announced."""
    drain_ns: int = 60_000_000_000
    """How long a planned stop waits for old flows."""
    release_ns: int = 800_000_000
    """How long a broken service waits for its buckets to move: ample for a view change."""
