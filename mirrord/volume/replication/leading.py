"""One link at the primary: the peer is brought up to date over it, and then relied on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from farmd.errors import MachineError
from mirrord.orders import InSync, Kept, Lead, Linked, Report, Verified
from mirrord.volume.files.tree import ROOT
from mirrord.volume.fuse.capture import Capture
from mirrord.volume.journal.checkpoint import INTERVAL_S, Checkpoints
from mirrord.volume.journal.journal import Journal
from mirrord.volume.link.channel import Channel
from mirrord.volume.link.records import Kind, Record
from mirrord.volume.link.stream import CANNOT, Stream, said
from mirrord.volume.loop import Loop
from mirrord.volume.replication.leader import Leader
from mirrord.volume.replication.replicator import Replicator
from mirrord.volume.replication.syncing import Syncing
from mirrord.volume.resync.pacing import Paced
from mirrord.volume.resync.resync import Resync
from mirrord.volume.verify.verify import Verification

PROGRESS_INTERVAL_S = 0.5
SHORT_INTERVAL_S = 5
"""Between two checkpoints, if the journal is large."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What every link of a primary stands on."""

    captures: list[Capture]
    replicator: Replicator
    syncing: Syncing
    journal: Journal
    loop: Loop
    threads: ThreadPoolExecutor
    tell: Callable[[Report], None]
    fault: Callable[[str], None]
    room: Callable[[], None]
    """Called when the stream is full no more."""
    settle_times: Callable[[], None]


class Leading:
    """From the greeting to the end of the link."""

    def __init__(
        self, ground: Ground, channel: Channel, order: Lead, rate_bytes_s: int, lost: Callable[[str, bool], None]
    ) -> None:
        """lost: told, when the link has ended by itself, why and whether for the peer's disk."""
        self._ground = ground
        self._replicator = ground.replicator
        self._pairing: int | None = None
        """When this number is acknowledged, all that was answered before the pairing is at the peer, too."""
        self._closed = False
        self._leader = leader = Leader(self._replicator, ground.syncing, self._heard)
        self.stream = Stream(
            channel, ground.loop, take=leader.take, taken=leader.taken, room=ground.room,
            broken=lambda reason: lost(reason, leader.peer_disk),
        )  # fmt: skip
        for capture in ground.captures:
            capture.tree.bound.clear()
            capture.tree.bound.add(ROOT)
        self._replicator.link(self.stream)
        self._paced = Paced(self._replicator)
        self._trees = trees = [capture.tree for capture in ground.captures]
        self._checkpoints = Checkpoints(
            trees, ground.journal, ground.threads, self._put, ground.loop.post, ground.fault
        )  # fmt: skip
        self.resync: Resync | None = Resync(
            trees, ground.journal, self._checkpoints, self._paced, everything=order.resync == "everything",
            keep=order.keep, rate_bytes_s=rate_bytes_s, settle_times=ground.settle_times, later=ground.loop.after,
            done=self._pair,
        )  # fmt: skip
        self._verification: Verification | None = None
        leader.handlers.update(self.resync.handlers())
        leader.handlers[Kind.CHECKPOINT] = self._checkpoints.take
        leader.handlers[Kind.KEPT] = self._take_kept
        self._replicator.screen = self.resync.sends
        ground.loop.work = self._work
        ground.tell(Linked())
        self._tell_progress()

    def close(self) -> None:
        """Nothing is sent any more, nor anything heeded."""
        self._closed = True
        self.stream.close()
        self._ground.loop.work = lambda _: False
        self._replicator.screen = None
        if self.resync is not None:
            self.resync.close()
        self.end_verification("the link has ended")

    def verify(self, paths: Sequence[str]) -> None:
        """Compare both, if that is not done already; paths: where the trees are. MachineError if not in sync."""
        if self.resync is not None or self._pairing is not None:
            raise MachineError("the peer is not in sync yet")
        if self._verification is None:
            self._verification = Verification(
                self._trees, paths, self._paced, changes=lambda: self._replicator.figures.changes,
                settle_times=self._ground.settle_times, ended=self._verified,
            )  # fmt: skip
            self._leader.handlers.update(self._verification.handlers())
            self._replicator.screen = self._verification.sees
            self._ground.loop.work = self._work
            self._tell_progress()

    def end_verification(self, why: str) -> None:
        """Nothing is put into the stream for it any more."""
        if self._verification is not None:
            self._verification.end(why)

    def checkpoint(self, then: Callable[[], None]) -> None:
        """Everything up to now is on both disks when `then` is called."""
        self._ground.settle_times()
        self._checkpoints.begin(then)
        self._replicator.flush()

    def _work(self, budget_ns: int) -> bool:
        if not self._paced.has_room():
            return False
        if self._verification is not None:
            return self._verification.work(budget_ns)
        if self.resync is None:
            return False
        try:
            return self.resync.work(budget_ns)
        except CANNOT as error:
            self._ground.loop.work = lambda _: False
            self.stream.part(f"the peer cannot be brought up to date: {said(error)}")
            return False

    def _put(self, record: Record) -> None:
        if self._closed:
            return  # a checkpoint that waited for another one
        self._replicator.catch_up()
        self._replicator.put(record)
        self._replicator.flush()

    def _pair(self) -> None:
        """The peer is up to date, but for live changes on their way."""
        if self._closed or self.resync is None:
            return
        self._ground.tell(self.resync.progress())
        self.resync = None
        self._ground.loop.work = lambda _: False
        self._ground.settle_times()
        self._replicator.screen = None
        self._replicator.pair()
        self._pairing = self._replicator.seq
        self._heard()

    def _heard(self) -> None:
        """After each batch of the peer's records."""
        if self._pairing is not None and self._replicator.acknowledged >= self._pairing:
            self._pairing = None
            self._replicator.put(Record(Kind.IN_SYNC, 0, 0))
            self._replicator.flush()
            self._ground.tell(InSync())
            self._checkpoint_again()

    def _checkpoint_again(self, waited_s: int = 0) -> None:
        """After the interval, or as soon as the journal has become large."""
        if self._closed:
            return
        if waited_s >= (INTERVAL_S if self._ground.journal.has_room() else SHORT_INTERVAL_S):
            self.checkpoint(lambda: self._ground.loop.after(1, self._checkpoint_again))
        else:
            self._ground.loop.after(1, lambda: self._checkpoint_again(waited_s + 1))

    def _verified(self, verified: Verified) -> None:
        assert self._verification is not None
        self._ground.tell(self._verification.progress())
        self._verification = None
        self._replicator.screen = None
        self._ground.loop.work = lambda _: False
        self._ground.tell(verified)

    def _take_kept(self, record: Record) -> None:
        self._ground.tell(Kept(str(record.payload, errors="surrogateescape"), record.offset))

    def _tell_progress(self) -> None:
        under_way = self.resync or self._verification
        if not self._closed and under_way is not None:
            self._ground.tell(under_way.progress())
            self._ground.loop.after(PROGRESS_INTERVAL_S, self._tell_progress)
