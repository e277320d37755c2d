"""Comparing a pair in sync while it runs, at the primary: all trees, and nothing is repaired.

Live changes go on, and pass through the same stream as the questions. Whatever was there when it began, and still is
when it ends, is compared at some moment in between, wherever it is moved meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence

from mirrord.orders import Progress, Verified
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.link.records import HEADER, Kind, Record
from mirrord.volume.link.stream import CANNOT, said
from mirrord.volume.resync.resync import Outlet
from mirrord.volume.verify.moves import MOVES
from mirrord.volume.verify.walk import Walk

TURN_NS = 100_000
"""What it takes of the loop at once, a step more or less."""
INTERVAL_NS = 1_000_000
"""While applications change something, it gets one turn in so long: both ends are busy with that for a third of it."""
TOLD = 100
"""How many of the paths that differ are told."""


class Turns:
    """When verify may go on: at any time if nobody else needs the loop, else rarely."""

    def __init__(self, changes: Callable[[], int]) -> None:
        """changes: a number that is another one when applications have changed something."""
        self._changes = changes
        self._seen = changes()
        self._seen_ns = self._last_ns = 0

    def begin(self, now_ns: int) -> bool:
        """Whether there is a turn now."""
        changes = self._changes()
        if changes != self._seen:
            self._seen, self._seen_ns = changes, now_ns
        if now_ns - self._seen_ns < INTERVAL_NS and now_ns - self._last_ns < INTERVAL_NS:
            return False
        self._last_ns = now_ns
        return True


class Verification:
    """One, from its beginning until `ended` is called. paths: where the trees are, for people."""

    def __init__(
        self, trees: Sequence[ServedTree], paths: Sequence[str], outlet: Outlet, *, changes: Callable[[], int],
        settle_times: Callable[[], None], ended: Callable[[Verified], None],
    ) -> None:  # fmt: skip
        self._paths = paths
        self._outlet = outlet
        self._ended = ended
        self._sent_bytes = 0
        self._turns = Turns(changes)
        self._walks = [Walk(tree, self._put, settle_times) for tree in trees]
        self._steps: Iterator[bool] | None = (step for walk in self._walks for step in walk.steps())

    def work(self, budget_ns: int) -> bool:
        """Goes on for so long; whether there is more to do before the peer answers."""
        now_ns = time.monotonic_ns()
        if not self._turns.begin(now_ns):
            return True
        until_ns = now_ns + min(budget_ns, TURN_NS)
        self._outlet.catch_up()
        more = True
        try:
            while more and time.monotonic_ns() < until_ns and self._steps is not None:
                more = next(self._steps)
        except StopIteration:
            self._end(self._verified())
        except CANNOT as error:
            self.end(f"this node cannot be compared: {said(error)}")
        self._outlet.flush()
        return more and self._steps is not None

    def sees(self, record: Record) -> bool:
        """A live change; it is sent in any case."""
        if record.kind in MOVES:
            self._walks[record.tree].sees(record)
        return True

    def handlers(self) -> dict[int, Callable[[Record], None]]:
        """For the peer's answers, by kind of record."""
        return dict.fromkeys((Kind.LOOKED, Kind.COMPARED), self._take)

    def progress(self) -> Progress:
        done_bytes = sum(walk.done_bytes for walk in self._walks)
        return Progress(
            done_bytes=done_bytes,
            total_bytes=max(done_bytes, sum(walk.total_bytes for walk in self._walks)),
            sent_bytes=self._sent_bytes,
            done_files=sum(walk.done_files for walk in self._walks),
            total_files=sum(max(walk.done_files, walk.total_files) for walk in self._walks),
        )

    def end(self, why: str) -> None:
        """It is not gone on with."""
        self._end(Verified([], 0, why))

    def _end(self, verified: Verified) -> None:
        if self._steps is not None:
            self._steps = None
            for walk in self._walks:
                walk.close()
            self._ended(verified)

    def _verified(self) -> Verified:
        found = [
            f"{_shown(os.path.join(os.fsencode(root), path))}: {', '.join(words)}"
            for root, walk in zip(self._paths, self._walks, strict=True)
            for path, words in walk.found.items()
        ]
        return Verified(sorted(found)[:TOLD], len(found))

    def _take(self, record: Record) -> None:
        if self._steps is not None:
            self._walks[record.tree].take(record)

    def _put(self, record: Record) -> None:
        if self._steps is None:
            return  # settling times was when the link was seen to be broken
        self._outlet.put(record)
        self._sent_bytes += HEADER.size + len(record.payload)


def _shown(path: bytes) -> str:
    """As text in one line, whatever bytes are in it."""
    text = path.rstrip(b"/").decode(errors="backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
