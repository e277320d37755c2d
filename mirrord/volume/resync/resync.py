"""Bringing the peer up to date, at the primary: all trees, one after the other, while applications go on.

    ask       what does the peer's journal say may differ? if it counts from another moment than ours: everything
    walk      through our own tree, for the inodes of the zones in our journal; only folders are read
    names     every folder of these is listed to the peer, which makes its names and attributes right
    content   every file of these is compared by digests; blocks that differ are sent
    finish    the peer removes what nobody wanted; folders' times are set
    sync      a checkpoint with which both journals become empty, and then `done`

Every 30 s a checkpoint lets the journal forget what is equal on both disks by then, so a crash repeats little.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from mirrord.core.zones import ZoneSet
from mirrord.orders import Progress
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.journal.checkpoint import INTERVAL_S, Checkpoints
from mirrord.volume.journal.journal import Journal
from mirrord.volume.link.records import HEADER, Kind, Record
from mirrord.volume.resync.tree_pass import Pass

NS = 1_000_000_000


class Outlet(Protocol):
    """What a resync needs of the replicator."""

    def put(self, record: Record) -> object:
        """Into the stream, behind everything that is in it."""

    def catch_up(self) -> None:
        """Everything that is in the stream is carried out here, too."""

    def flush(self) -> None:
        """What was put leaves."""


class Resync:
    """One link's, from its beginning until `done` is called.

    settle_times: puts into the stream what has changed of files' times. later: calls a function after so many seconds.
    """

    def __init__(
        self, trees: Sequence[ServedTree], journal: Journal, checkpoints: Checkpoints, outlet: Outlet, *,
        everything: bool, keep: bool, rate_bytes_s: int, settle_times: Callable[[], None],
        later: Callable[[float, Callable[[], None]], None], done: Callable[[], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:  # fmt: skip
        """everything: the journals are not asked. keep: the peer keeps what differs before it is overwritten. clock: in
        ns; what is done in one turn depends on it."""
        self.rate_bytes_s = rate_bytes_s
        self.sent_bytes = 0
        self._journal = journal
        self._checkpoints = checkpoints
        self._outlet = outlet
        self._settle_times = settle_times
        self._later = later
        self._done = done
        self._clock = clock
        self._passes = [Pass(tree, journal, self._put, everything=everything, keep=keep) for tree in trees]
        self._steps = self._all_steps()
        self._ended = False
        self._free_at_ns = 0
        """When the rate allows the next record."""
        self._checkpoint_at_ns = clock() + INTERVAL_S * NS

    # -- for the volume ------------------------------------------------------------------------------------------------

    def work(self, budget_ns: int) -> bool:
        """Goes on for so long; whether there is more to do before the peer answers."""
        if self._ended:
            return False
        began = now = self._clock()
        self._outlet.catch_up()
        more = True
        while more and now - began < budget_ns:
            if now < self._free_at_ns:
                self._later((self._free_at_ns - now) / NS, lambda: None)
                more = False
                break
            more = next(self._steps, False)
            now = self._clock()
        if now > self._checkpoint_at_ns and not self._ended and not self._checkpoints.under_way:
            self._checkpoint_at_ns = now + INTERVAL_S * NS
            self._checkpoints.begin(lambda: None, still=self._still)
        self._outlet.flush()
        return more

    def sends(self, record: Record) -> bool:
        """Whether the peer can carry out this change by now. If not, it is found later."""
        return self._passes[record.tree].screen.passes(record)

    def handlers(self) -> dict[int, Callable[[Record], None]]:
        """For the peer's answers, by kind of record."""
        kinds = (Kind.CANDIDATES, Kind.LISTED, Kind.COMPARED, Kind.FINISH)
        return dict.fromkeys(kinds, lambda record: self._passes[record.tree].take(record))

    def progress(self) -> Progress:
        return Progress(
            done_bytes=sum(part.tally.done_bytes for part in self._passes),
            total_bytes=sum(part.tally.total_bytes for part in self._passes),
            sent_bytes=self.sent_bytes,
            done_files=sum(part.tally.done_files for part in self._passes),
            total_files=sum(part.tally.total_files for part in self._passes),
        )

    def close(self) -> None:
        """It is over, ended or not."""
        self._ended = True
        self._steps = iter(())
        for part in self._passes:
            part.close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _all_steps(self) -> Iterator[bool]:
        while not all(part.ended for part in self._passes):
            for part in self._passes:
                yield from part.steps()
            self._settle_times()
            if self._ended:
                return  # the link was seen to be broken
        for part in self._passes:
            yield from part.release()
        everything = any(part.everything for part in self._passes) or not any(self._journal.base)
        base = os.urandom(16) if everything else self._journal.base
        self._checkpoints.begin(self._conclude, base=base)

    def _conclude(self) -> None:
        """Nothing can have come up meanwhile: where everything is settled, every change is sent."""
        assert all(part.ended for part in self._passes)
        self._ended = True
        self._done()

    def _still(self) -> list[ZoneSet]:
        return [part.still() for part in self._passes]

    def _put(self, record: Record) -> None:
        if self._ended:
            return  # settling times was when the link was seen to be broken
        self._outlet.put(record)
        size = HEADER.size + len(record.payload)
        self.sent_bytes += size
        if self.rate_bytes_s:
            now = self._clock()
            self._free_at_ns = max(self._free_at_ns, now) + size * NS // self.rate_bytes_s
