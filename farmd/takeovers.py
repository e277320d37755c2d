"""How often this node took over from failed ones, and how long their clients went without an answer."""

from __future__ import annotations

from typing import Any

MS_NS = 1_000_000


class Takeovers:
    """Since the start of this program."""

    def __init__(self) -> None:
        self._count = 0
        self._last_ns: int | None = None
        self._sum_ns = 0

    def record(self, silence_ns: int) -> None:
        """Buckets of a failed node are open here, this long after its last word."""
        self._count += 1
        self._last_ns = silence_ns
        self._sum_ns += silence_ns

    def all(self) -> dict[str, Any]:
        """Ready for JSON, in milliseconds."""
        last_ms = None if self._last_ns is None else self._last_ns / MS_NS
        return {"count": self._count, "last_ms": last_ms, "sum_ms": self._sum_ns / MS_NS}
