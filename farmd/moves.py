"""When buckets closed and opened here, view by view: what tells how long a moving bucket was closed everywhere.

Times are CLOCK_MONOTONIC in nanoseconds. They can be compared between nodes that share a kernel, as those of a lab do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from farmd.core.buckets import OPEN
from farmd.core.view import Epoch

KEPT = 32


@dataclass(slots=True)
class Move:
    """What one view did to this node's buckets; 0 where nothing closed or opened."""

    epoch: str
    closed: int = 0
    opened: int = 0
    closed_ns: int = 0
    opened_ns: int = 0


class Moves:
    """The newest few."""

    def __init__(self) -> None:
        self._moves: deque[Move] = deque(maxlen=KEPT)

    def record(self, before: bytes, after: bytes, epoch: Epoch, now_ns: int) -> None:
        """A table has replaced another one in the filter, just now."""
        changes = [(old in OPEN, new in OPEN) for old, new in zip(before, after, strict=True)]
        closed = changes.count((True, False))
        opened = changes.count((False, True))
        if not self._moves or self._moves[-1].epoch != str(epoch):
            self._moves.append(Move(str(epoch)))
        move = self._moves[-1]
        if closed:
            move.closed, move.closed_ns = closed, now_ns
        if opened:
            move.opened, move.opened_ns = opened, now_ns

    def all(self) -> list[dict[str, Any]]:
        """Oldest first, ready for JSON."""
        return [asdict(move) for move in self._moves]
