"""Packets by the owner of their bucket, from the filter's counters, which know buckets only. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


class Tally:
    """Adds up what each bucket's counter grew by, for the node that owns the bucket at that time. It never falls, also
    where a bucket gets another owner."""

    def __init__(self) -> None:
        self.packets: Counter[str] = Counter()
        self._before: Sequence[int] = ()

    def add(self, owners: Sequence[str | None], packets: Sequence[int]) -> None:
        """Takes the owners of all buckets and what the filter has counted for each since it was loaded."""
        before = self._before or packets
        for owner, now, then in zip(owners, packets, before, strict=True):
            if owner is not None:
                self.packets[owner] += now - then if now >= then else now  # a filter loaded anew counts from 0
        self._before = packets
