"""How much comes to a node, and what its filter makes of it, in packets a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PERIOD_NS = 1_000_000_000
"""A second: rates are per second, and averages over at least this time."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one node's filter does with the farm's packets."""

    accepted_per_s: int
    """Passed to the node's kernel."""
    dropped_per_s: int
    """Dropped, since another node answers: the bucket is its, or was until now."""
    fenced_per_s: int
    """Dropped, since the lease has ended."""


_COUNTERS = (
    ("owned", "draining", "filling"),
    ("drop_other", "drop_draining", "drop_filling"),
    ("drop_fenced",),
)
"""Of which counters of bpf/farm.h each rate is the growth, in the order of the fields above."""


class Meter:
    """Turns the filter's counters, which only grow, into rates."""

    def __init__(self) -> None:
        self.traffic = Traffic(0, 0, 0)
        """As of the last two readings."""
        self._totals: tuple[int, ...] = ()
        self._read_ns = 0

    def due(self, now_ns: int) -> bool:
        """Whether it is time for another reading."""
        return not self._totals or now_ns - self._read_ns >= PERIOD_NS

    def read(self, now_ns: int, counters: Mapping[str, int]) -> None:
        """Takes what the filter has counted until now (CLOCK_MONOTONIC)."""
        totals = tuple(sum(counters[name] for name in names) for names in _COUNTERS)
        if self._totals:
            passed_ns = now_ns - self._read_ns
            grown = (after - before for before, after in zip(self._totals, totals, strict=True))
            self.traffic = Traffic(*(round(packets * PERIOD_NS / passed_ns) for packets in grown))
        self._totals, self._read_ns = totals, now_ns
