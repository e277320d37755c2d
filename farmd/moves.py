"""When buckets closed and opened here, view by view: what tells how long a moving bucket was closed everywhere.

Times are CLOCK_MONOTONIC in nanoseconds. They can be compared between nodes that share a kernel, as those of a lab do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from farmd.core.buckets import OPEN
from farmd.core.view import Epoch

KEPT = 16


@dataclass(slots=True)
class Move:
    """What one view did to this node's buckets; 0 where nothing closed or opened."""

    epoch: str
    closed: int = 0
    opened: int = 0
    closed_ns: int = 0
    opened_ns: int = 0


class Moves:
    """The newest few. Recording is cheap, for it happens between a release and its announcement; who asks counts."""

    def __init__(self) -> None:
        self._switches: deque[tuple[bytes, bytes, Epoch, int]] = deque(maxlen=KEPT)

    def record(self, before: bytes, after: bytes, epoch: Epoch, now_ns: int) -> None:
        """A table has replaced another one in the filter, just now."""
        self._switches.append((before, after, epoch, now_ns))

    def all(self) -> list[dict[str, Any]]:
        """Oldest first, ready for JSON."""
        moves: list[Move] = []
        for before, after, epoch, now_ns in self._switches:
            if not moves or moves[-1].epoch != str(epoch):
                moves.append(Move(str(epoch)))
            _count(moves[-1], before, after, now_ns)
        return [asdict(move) for move in moves]


def _count(move: Move, before: bytes, after: bytes, now_ns: int) -> None:
    closed, opened = _changes(before, after)
    if closed:
        move.closed, move.closed_ns = closed, now_ns
    if opened:
        move.opened, move.opened_ns = opened, now_ns


@lru_cache(maxsize=KEPT)
def _changes(before: bytes, after: bytes) -> tuple[int, int]:
    """How many buckets closed, and how many opened. Remembered, since who watches the daemon asks every second."""
    changes = [(old in OPEN, new in OPEN) for old, new in zip(before, after, strict=True)]
    return changes.count((True, False)), changes.count((False, True))
