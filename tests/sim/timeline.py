"""Simulated time: what is due happens in the order of its time, and of the asking among equals."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from farmd.core.settings import MS

Node = TypeVar("Node")


class Timeline(Generic[Node]):
    """What is to happen, and when. Every check is called after every step that changed a node."""

    def __init__(self, seed: int, *, look_every_ms: int) -> None:
        self.random = random.Random(seed)
        self.now = 0
        """In ns."""
        self.checks: list[Callable[[Self], None]] = []
        self.touched: Node | None = None
        """The node that the last step changed."""
        self._look_every_ns = look_every_ms * MS
        self._queue: list[tuple[int, int, Callable[[], object]]] = []
        self._order = 0

    def at(self, when: int, what: Callable[[], object]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (max(when, self.now), self._order, what))

    def moment(self, ms_min: float, ms_max: float) -> int:
        """Some time from now (ns)."""
        return self.now + int(self.random.uniform(ms_min, ms_max) * MS)

    def strew(self, rates: dict[Callable[[], None], float], until: int) -> None:
        """Lets each of these happen at random, so many times a second, up to the given time (ns)."""
        for what, per_second in rates.items():
            when = self.now
            while per_second > 0:
                when += int(self.random.expovariate(per_second) * 1000 * MS)
                if when >= until:
                    break
                self.at(when, what)

    def run(self, until: int) -> None:
        """Lets everything happen until the given time (ns)."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, what = heapq.heappop(self._queue)
            self.touched = None
            what()
            if self.touched is not None:
                for check in self.checks:
                    check(self)
        self.now = until

    def run_next(self) -> None:
        """Lets the next thing happen that is due, and whatever else is due then."""
        self.run(self._queue[0][0])

    def run_for(self, ms: float) -> None:
        self.run(self.now + int(ms * MS))

    def step_until(self, condition: Callable[[], bool], limit_ms: float) -> bool:
        """Runs until the condition holds; False if it does not within the limit."""
        limit = self.now + int(limit_ms * MS)
        while not condition():
            if self.now >= limit:
                return False
            self.run(min(limit, self.now + self._look_every_ns))
        return True
