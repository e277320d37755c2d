"""How much of a resync is done: bytes that were found equal or sent, of the bytes that have to be looked at."""

from __future__ import annotations


class Tally:
    """One tree's. Both sums only grow, and they are equal when nothing is left."""

    def __init__(self) -> None:
        self.done_bytes = self.total_bytes = 0
        self.done_files = self.total_files = 0
        self._left: dict[int, int] = {}
        """File -> bytes of it that are to be dealt with."""

    def plan(self, node: int, size: int) -> None:
        """So much of this file has to be looked at."""
        if node not in self._left:
            self.total_files += 1
        more = max(0, size - self._left.get(node, 0))
        self.total_bytes += more
        self._left[node] = self._left.get(node, 0) + more

    def deal(self, node: int, size: int) -> None:
        """So much of it is equal by now."""
        dealt = min(size, self._left.get(node, 0))
        self.done_bytes += dealt
        self._left[node] = self._left.get(node, 0) - dealt

    def finish(self, node: int) -> None:
        """All of it is, or it is no more."""
        if node in self._left:
            self.done_bytes += self._left.pop(node)
            self.done_files += 1
