"""A primary's and a secondary's tree on one file system, with two journals and a stream of records between them.

No loop, no mounts and no threads but the journals': requests are the kernel's, records are carried out when a test says
so, which is what lets a test stop at any moment, and lets a seed repeat a run. Trees, journals, capture, replicator and
both ends of the resync are the real ones.
"""

from __future__ import annotations

import os
import queue
import random
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from mirrord import compare
from mirrord.volume.files.apply import apply
from mirrord.volume.files.followed_tree import FollowedTree
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import ROOT
from mirrord.volume.fuse.capture import Capture
from mirrord.volume.journal.checkpoint import Checkpoints
from mirrord.volume.journal.journal import Journal
from mirrord.volume.link.records import HEADER, Kind, Record
from mirrord.volume.link.stream import Stream
from mirrord.volume.loop import Loop
from mirrord.volume.replication.replicator import Replicator
from mirrord.volume.replication.syncing import Syncing
from mirrord.volume.resync.follow import ResyncFollower
from mirrord.volume.resync.pacing import Paced
from mirrord.volume.resync.resync import Resync
from tests.mirror.kernel import Kernel

PATIENCE_S = 30
ROUNDS_MAX = 100_000
TICK_NS = 10_000
"""So long takes whatever happens between two looks at the clock."""


MAKE = {
    "ext4": "-N 8192 -I 256 -F -m 0 -E hash_seed=6d697272-6f72-6421-8000-000000000000,nodiscard",
    "xfs": "-f -K",
}
"""Arguments of mkfs."""


@contextmanager
def disk(folder: Path, kind: str = "ext4") -> Iterator[Path]:
    """A file system in memory, which numbers inodes and orders names in the same way each time. What a disk's slowness
    has to do with is tested elsewhere."""
    image = Path(f"/dev/shm/mirror-test-{os.getpid()}")
    with image.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run([f"mkfs.{kind}", "-q", *MAKE[kind].split(), image], check=True)
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        image.unlink()


class Clock:
    """Time that passes when somebody looks at it."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += TICK_NS
        return self.now_ns


class Later(ThreadPoolExecutor):
    """Threads that do nothing before they are told to."""

    def __init__(self) -> None:
        super().__init__(1)
        self._waiting: deque[Callable[[], Any]] = deque()

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._waiting.append(lambda: call(*args, **kwargs))
        return Future()

    def run_one(self) -> None:
        if self._waiting:
            self._waiting.popleft()()


class Node:
    """A directory and its journal; both outlive links."""

    def __init__(self, folder: Path, state: Path | None = None) -> None:
        self.folder = folder
        self.tree_path = folder / "tree"
        self.state = state or folder / "state"
        self.tree_path.mkdir(parents=True)
        self.state.mkdir(parents=True)
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.journal = self.open_journal()

    def open_journal(self) -> Journal:
        return Journal(self.state / "journal", 1, self.posted.put)

    def restart(self) -> None:
        """The process is another one."""
        self.journal.close()
        self.posted = queue.SimpleQueue()
        self.journal = self.open_journal()

    def open_root(self) -> int:
        return os.open(self.tree_path, os.O_RDONLY | os.O_DIRECTORY)

    def run_posted(self) -> None:
        """Everything that the journal was told until now is on the disk, and who waits for it is called."""
        done: list[bool] = []
        self.journal.mark(0, [], lambda: done.append(True))
        while not done:
            self.posted.get(timeout=PATIENCE_S)()
        while not self.posted.empty():
            self.posted.get()()


class Primary(Kernel):
    """Serves a node without a mount. No change waits for a peer."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.tree = ServedTree(0, node.open_root())
        self.link: Link | None = None
        syncing = Syncing(cast(Loop, None), Later(), self._fault)  # nothing is synced
        self.replicator = Replicator(node.journal, syncing, self._fault, on_disk=False)
        self.replicator.go_alone()
        answers, device = os.pipe2(os.O_NONBLOCK)
        capture = Capture(self.tree, self.replicator, device)
        super().__init__(capture, self.replicator.settle, answers, node.run_posted)

    def close(self) -> None:
        self.tree.close()
        os.close(self.capture.device)
        os.close(self._answers)

    def settle_times(self) -> None:
        if self.link is None:
            self.tree.unsettled.clear()  # a resync compares them
        else:
            self.capture.settle()
            self.replicator.settle()

    def _fault(self, sentence: str) -> None:
        raise AssertionError(sentence)


class Wire:
    """What the replicator sends, as records."""

    full = False

    def __init__(self, outward: deque[Record]) -> None:
        self._outward = outward

    def gather(self, header: bytes, payload: bytes | memoryview) -> None:
        _, kind, tree, flags, seq, node, offset = HEADER.unpack(header)
        self._outward.append(Record(kind, tree, node, offset, flags, bytes(payload), seq))

    def flush(self) -> None:
        pass


class Link:
    """Records on their way from a primary to a secondary, and answers on their way back."""

    def __init__(
        self, primary: Primary, secondary: Node, *, everything: bool = False, keep: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:  # fmt: skip
        self.primary = primary
        self.secondary = secondary
        self.tree = FollowedTree(0, secondary.open_root())
        self.outward: deque[Record] = deque()
        self.homeward: deque[Record] = deque()
        self.failures: list[str] = []
        self.in_sync = False
        self.kept = 0
        self.threads = Later()
        self._pairing: int | None = None
        self._held = False
        """The stream waits for what a thread does with its last record."""
        primary.tree.bound.clear()
        primary.tree.bound.add(ROOT)
        primary.link = self
        self.replicator = primary.replicator
        self.replicator.link(cast(Stream, Wire(self.outward)))
        self._paced = Paced(self.replicator)
        journal = primary.node.journal
        self.checkpoints = Checkpoints(
            [primary.tree], journal, self.threads, self._put, primary.node.posted.put, self.failures.append
        )
        self.resync: Resync | None = Resync(
            [primary.tree], journal, self.checkpoints, self._paced, everything=everything, keep=keep, rate_bytes_s=0,
            settle_times=primary.settle_times, later=lambda delay, call: None, done=self._pair, clock=clock,
        )  # fmt: skip
        self._resync = self.resync
        self.replicator.screen = self.resync.sends
        self.follower = ResyncFollower(
            [self.tree], secondary.journal, secondary.state, self.threads, self.homeward.append, secondary.posted.put,
            self.failures.append, self._hold,
        )  # fmt: skip
        self.handlers = self.follower.handlers()
        self.preparations = self.follower.preparations()
        self.answers = {**self.resync.handlers(), Kind.CHECKPOINT: self.checkpoints.take, Kind.KEPT: self._kept}

    def close(self) -> None:
        """The link breaks; what is on its way is lost."""
        self.primary.link = None
        self.replicator.screen = None
        if self.resync is not None:
            self.resync.close()
            self.resync = None
        self.replicator.unlink()
        self.follower.close()
        self.tree.close()

    @property
    def sent_bytes(self) -> int:
        return self._resync.sent_bytes

    # -- time passes ---------------------------------------------------------------------------------------------------

    def work(self, budget_ns: int) -> bool:
        return self.resync is not None and self._paced.has_room() and self.resync.work(budget_ns)

    def carry_out(self) -> bool:
        """One record arrives at the secondary."""
        if not self.outward or self._held:
            return False
        record = self.outward.popleft()
        handler = self.handlers.get(record.kind)
        if record.kind == Kind.IN_SYNC:
            self.in_sync = True
            self.preparations.clear()
            while self.tree.drop_listed():
                pass
        elif handler is not None:
            handler(record)
        else:
            if record.kind in self.preparations:
                self.preparations[record.kind](record)
            apply([self.tree], record)
        self.tree.trim()
        self.replicator.acknowledge(record.seq)
        if self._pairing is not None and record.seq >= self._pairing:
            self._pairing = None
            self._put(Record(Kind.IN_SYNC, 0, 0))
        return True

    def _hold(self, held: bool) -> None:
        self._held = held

    def answer(self) -> bool:
        """One answer arrives at the primary."""
        if not self.homeward:
            return False
        record = self.homeward.popleft()
        self.answers[record.kind](record)
        return True

    def step(self, chance: random.Random, budget_ns: int = 5 * TICK_NS) -> None:
        """Something happens, somewhere."""
        match chance.randrange(7):
            case 0 | 1:
                self.carry_out()
            case 2:
                self.answer()
            case 3:
                self.work(budget_ns)
            case 4:
                self.threads.run_one()
            case 5:
                self.primary.node.run_posted()
            case 6:
                self.secondary.run_posted()
        self.primary.tree.trim()
        assert not self.failures, self.failures

    def run(self) -> None:
        """Until in sync and everything has arrived."""
        for _ in range(ROUNDS_MAX):
            if self.in_sync and not self.outward:
                return
            self.work(100 * TICK_NS)
            self.threads.run_one()
            while self.carry_out() or self.answer():
                pass
            self.primary.node.run_posted()
            self.secondary.run_posted()
            assert not self.failures, self.failures
            self.primary.tree.trim()
        raise AssertionError("the resync does not end")

    def settle(self) -> None:
        """Everything has arrived, times too."""
        self.primary.settle_times()
        while self.carry_out():
            pass
        assert not self.failures, self.failures

    def _put(self, record: Record) -> None:
        if self.primary.link is not self:
            return
        self.replicator.catch_up()
        self.replicator.put(record)

    def _pair(self) -> None:
        """As `mirrord.volume.replication.leading` does, but that changes go on being answered at once."""
        if self.resync is None:
            return
        self.resync = None
        self.primary.settle_times()
        self.replicator.screen = None
        self._pairing = self.replicator.seq
        if self.replicator.acknowledged >= self._pairing:
            self._put(Record(Kind.IN_SYNC, 0, 0))

    def _kept(self, record: Record) -> None:
        self.kept = record.offset


def resync(primary: Primary, secondary: Node, *, everything: bool = False, keep: bool = False) -> Link:
    """A whole one; the link is closed when this returns."""
    link = Link(primary, secondary, everything=everything, keep=keep)
    try:
        link.run()
        link.settle()
    finally:
        link.close()
    return link


def differences(primary: Primary | Node, secondary: Node) -> list[str]:
    first = primary.node if isinstance(primary, Primary) else primary
    return compare.differences(compare.listing(first.tree_path), compare.listing(secondary.tree_path))
