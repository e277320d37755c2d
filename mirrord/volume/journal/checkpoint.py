"""Checkpoints: both disks have all changes up to a moment, so the journal may forget the zones of what is older.

The order, and what a crash at each place leaves:

 1. the primary cuts its journal: changes from here on count as later ones.          nothing is forgotten yet
 2. CHECKPOINT goes into the stream, behind every change before the cut.             the same
 3. both nodes syncfs(2) their trees, at the same time, the secondary when the       the same: the zones of all that
    stream has brought it there; the secondary answers.                              was lost are still in the journal
 4. when both are done the primary's journal is replaced by one without the zones    before: too many zones, which are
    that were not changed lately.                                                    compared; after: what is missing
                                                                                     in it is on both disks
The secondary has no zones of its own: whatever it may lack after a crash or power loss is something that the primary
changed after the last checkpoint, and in the primary's journal. Power losses of both are no other case, since both
disks had the same before anything was forgotten. Only at the end of a resync (flag BASE) the secondary clears a journal
of an earlier life, in step 3 and before it answers; if the primary dies then, its own journal still has every zone
that it ever compared in this resync, and a base that only one of the two has makes them compare everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mirrord.core.zones import ZoneSet
from mirrord.volume.files import syscalls
from mirrord.volume.link.records import Kind, Record
from mirrord.volume.resync.records import BASE

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from mirrord.volume.files.tree import Tree
    from mirrord.volume.journal.journal import Journal

INTERVAL_S = 30
"""Between two checkpoints of a pair in sync. A crash costs the comparison of what changed in two of them."""

Handler = Callable[[], None]


@dataclass(slots=True)
class _Running:
    number: int
    still: Callable[[], Sequence[ZoneSet]]
    then: Handler
    base: bytes | None
    missing: Sequence[ZoneSet] = ()
    """What was not compared when the record was put: what is sent later to make it equal is no part of this."""
    here: bool = False
    there: bool = False


class Checkpoints:
    """Those of one link, at the primary; one at a time.

    put: puts a record into the stream; settled: called first, everything before it is carried out here; post: calls a
    function in the loop's thread; failed: this node's disk has failed, a sentence.
    """

    def __init__(
        self, trees: Sequence[Tree], journal: Journal, threads: ThreadPoolExecutor, put: Callable[[Record], object],
        post: Callable[[Handler], None], failed: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._trees = trees
        self._journal = journal
        self._threads = threads
        self._put = put
        self._post = post
        self._failed = failed
        self._running: _Running | None = None
        self._waiting: list[_Running] = []
        self._numbers = 0

    @property
    def under_way(self) -> bool:
        return self._running is not None

    def begin(
        self, then: Handler, *, still: Callable[[], Sequence[ZoneSet]] | None = None, base: bytes | None = None
    ) -> None:
        """Calls `then` when it is done. What was put into the stream before is part of it, and what was written here.

        still: what is not compared yet, for each tree, asked for at the beginning and at the end: what counts is what
        is missing at either. base: the resync is over, and this is the name of the moment.
        """
        self._numbers += 1
        nothing = [ZoneSet() for _ in self._trees]
        running = _Running(self._numbers, still or (lambda: nothing), then, base)
        if self._running is None:
            self._start(running)
        else:
            self._waiting.append(running)

    def take(self, record: Record) -> None:
        """The secondary's answer."""
        if self._running is not None and record.offset == self._running.number:
            self._running.there = True
            self._conclude()

    def _start(self, running: _Running) -> None:
        self._running = running
        self._journal.cut()
        running.missing = [zones.copy() for zones in running.still()]
        flags, payload = (0, b"") if running.base is None else (BASE, running.base)
        self._put(Record(Kind.CHECKPOINT, 0, 0, running.number, flags, payload))
        self._threads.submit(self._sync)

    def _sync(self) -> None:
        """In a thread."""
        try:
            for tree in self._trees:
                syscalls.syncfs(tree.root)
        except OSError as error:
            sentence = f"a directory's file system cannot be written to the disk: {error.strerror}"
            self._post(lambda: self._failed(sentence))
        else:
            self._post(self._synced)

    def _synced(self) -> None:
        if self._running is not None:
            self._running.here = True
            self._conclude()

    def _conclude(self) -> None:
        running = self._running
        assert running is not None
        if running.here and running.there:
            for missing, now in zip(running.missing, running.still(), strict=True):
                missing.update(now)
            self._journal.forget(running.missing, self._done, base=running.base)

    def _done(self) -> None:
        running, self._running = self._running, None
        assert running is not None
        if self._waiting:
            self._start(self._waiting.pop(0))
        running.then()
