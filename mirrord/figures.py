"""How much is written and how long it takes: what the volume counts, added up for people and programs."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

US_IN_MS = 1000
WINDOW = 10
"""How many of the volume's reports, one a second, quantiles are about."""
SILENCE_NS = 3_000_000_000
"""Older figures say nothing about now."""


class Figures:
    """Of one volume after the other."""

    def __init__(self) -> None:
        self._total: Counter[int] = Counter()
        self._window: deque[Counter[int]] = deque(maxlen=WINDOW)
        self._newest: dict[str, Any] = {}
        self._writes_s = 0.0
        self._bytes_s = 0.0
        self._taken_ns = 0

    def take(self, figures: dict[str, Any]) -> None:
        """Those of the time since the volume's last report."""
        now_ns = time.monotonic_ns()
        passed_s = max(now_ns - self._taken_ns, 1) / 1e9 if self._taken_ns else 1.0
        self._taken_ns = now_ns
        self._writes_s = figures.get("changes", 0) / passed_s
        self._bytes_s = figures.get("bytes", 0) / passed_s
        latency = Counter({int(bound): count for bound, count in figures.get("latency_us", {}).items()})
        self._window.append(latency)
        self._total += latency
        self._newest = figures

    def forget(self) -> None:
        """The volume is gone; what it was doing is no news any more."""
        self._newest, self._writes_s, self._bytes_s, self._taken_ns = {}, 0.0, 0.0, 0
        self._window.clear()

    def all(self) -> dict[str, Any]:
        """Ready for JSON. The histogram counts since the start of this program: upper bound in milliseconds -> how many
        changes were answered within it and not within the one before."""
        fresh = time.monotonic_ns() - self._taken_ns < SILENCE_NS
        recent: Counter[int] = Counter()
        for latency in self._window:
            recent += latency
        return {
            "writes_s": round(self._writes_s, 1) if fresh else 0.0,
            "bytes_s": round(self._bytes_s) if fresh else 0,
            "latency_ms": {
                "p50": quantile(recent.items(), 0.5),
                "p99": quantile(recent.items(), 0.99),
                "histogram": {f"{bound / US_IN_MS:g}": self._total[bound] for bound in sorted(self._total)},
            },
            **{name: self._newest.get(name, 0) for name in ("in_flight", "held", "zones", "lag_bytes", "sent_bytes")},
        }


def quantile(histogram: Iterable[tuple[int, int]], share: float) -> float | None:
    """The bound, in milliseconds, that this share of a histogram in microseconds does not pass; None of nothing."""
    ordered = sorted(histogram)
    wanted = share * sum(count for _, count in ordered)
    seen = 0
    for bound, count in ordered:
        seen += count
        if seen >= wanted and count:
            return bound / US_IN_MS
    return None
