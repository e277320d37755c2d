"""What the volume counts, to be told once a second."""

from __future__ import annotations

from typing import Any

_BUCKETS = 26
"""Up to 2^25 us, half a minute; what takes longer is counted there."""


class Figures:
    """Counters since the last `take`."""

    def __init__(self) -> None:
        self.changes = 0
        self.bytes = 0
        """Of content, written by applications."""
        self._latency = [0] * _BUCKETS

    def answered(self, latency_ns: int) -> None:
        """A change was answered, so long after its request was read."""
        self.changes += 1
        self._latency[min((latency_ns // 1000).bit_length(), _BUCKETS - 1)] += 1

    def take(self) -> dict[str, Any]:
        """The figures, which begin anew. `latency_us`: upper bound (a power of two) -> how many were below it and not
        below the one before."""
        figures = {
            "changes": self.changes,
            "bytes": self.bytes,
            "latency_us": {1 << bits: count for bits, count in enumerate(self._latency) if count},
        }
        self.__init__()  # type: ignore[misc]
        return figures
