"""fsync(2) on both nodes at once: answered when each disk has it.

One that is alone and has little to write runs in the loop, which saves two switches between threads; others run in
threads, so that the disk can combine them, and the ordered path stays free however long they take.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mirrord.volume.files import local
from mirrord.volume.loop import Loop

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from mirrord.volume.files.served_tree import ServedTree
    from mirrord.volume.fuse.capture import Capture

SHORT_BYTES_MAX = 1 << 20
"""With more than this to write, none runs in the loop."""

SLOW_NS = 50_000_000
"""After one that took this long, none runs in the loop until one was faster: the disks are busy with something else."""


class Sync:
    """One that is under way."""

    __slots__ = ("began_ns", "capture", "error", "here", "there", "unique")

    def __init__(self, capture: Capture, unique: int, *, there: bool) -> None:
        self.capture = capture
        self.unique = unique
        self.here = True
        """Whether this node's disk is waited for, and the peer's."""
        self.there = there
        self.error = 0
        self.began_ns = time.monotonic_ns()


class Syncing:
    """Those of the primary."""

    def __init__(self, loop: Loop, threads: ThreadPoolExecutor, fault: Callable[[str], None]) -> None:
        """fault: told, in a sentence, when this node's disk has failed."""
        self._threads = threads
        self._loop = loop
        self._fault = fault
        self._slow = False
        """The last one took long, here or at the peer."""
        self._all: set[Sync] = set()
        self._by_seq: dict[int, Sync] = {}

    def is_short(self, tree: ServedTree, node: int) -> bool:
        """Whether the next one, of this file, may run in the loop."""
        little = tree.unsynced.pop(node, 0) <= SHORT_BYTES_MAX
        return little and not (self._all or self._slow)

    @property
    def under_way(self) -> bool:
        return bool(self._all)

    def begin(
        self, capture: Capture, node: int, unique: int, seq: int, *, data_only: bool, alone: bool, held: bool
    ) -> None:
        """seq: the record's that asks the peer for the same; 0: it was not asked. held: wait for the peer although it
        was not asked; `without_peer` will say when that is over."""
        sync = Sync(capture, unique, there=bool(seq) or held)
        self._all.add(sync)
        if seq:
            self._by_seq[seq] = sync
        if alone:
            self._done_here(sync, synced(capture.tree.descriptor(node), data_only=data_only))
            return
        descriptor = os.dup(capture.tree.descriptor(node))  # the tree may close its own meanwhile
        self._threads.submit(self._sync, sync, descriptor, data_only)

    def done_there(self, seq: int) -> None:
        """The peer's disk has it."""
        sync = self._by_seq.pop(seq, None)
        if sync is not None:
            sync.there = False
            self._answer(sync)

    def without_peer(self) -> None:
        """Nobody waits for the peer's disk any more: it was compared and has everything, or it is outdated."""
        self._by_seq.clear()
        for sync in list(self._all):
            sync.there = False
            self._answer(sync)

    def fail_all(self) -> None:
        """EIO for everybody."""
        for sync in list(self._all):
            sync.capture.fail(sync.unique, errno.EIO)
        self._all.clear()
        self._by_seq.clear()

    def _sync(self, sync: Sync, descriptor: int, data_only: bool) -> None:
        """In a thread."""
        error = synced(descriptor, data_only=data_only)
        os.close(descriptor)
        self._loop.post(lambda: self._done_here(sync, error))

    def _done_here(self, sync: Sync, error: OSError | None) -> None:
        sync.here = False
        if error is not None:
            sync.error = error.errno or errno.EIO
            if local.is_broken(error):
                self._fault(f"the disk does not keep what is written: {error.strerror}")
        self._answer(sync)

    def _answer(self, sync: Sync) -> None:
        if sync.here or sync.there or sync not in self._all:
            return
        self._all.discard(sync)
        self._slow = time.monotonic_ns() - sync.began_ns > SLOW_NS
        if sync.error:
            sync.capture.fail(sync.unique, sync.error)
        else:
            sync.capture.answer(sync.unique, b"")


def synced(descriptor: int, *, data_only: bool) -> OSError | None:
    """fsync(2) or fdatasync(2); why it failed."""
    try:
        (os.fdatasync if data_only else os.fsync)(descriptor)
    except OSError as error:
        return error
    return None
