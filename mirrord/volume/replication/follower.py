"""The secondary's side of replication: it carries out the primary's records in their order, and says how far it is.

One acknowledgement follows each batch of records that came together. What cannot be carried out ends the link: the
primary is told which record it was and why, and nothing of it is acknowledged; bringing this node up to date again is
what repairs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mirrord.volume.files import local
from mirrord.volume.files.apply import apply
from mirrord.volume.files.tree import Tree
from mirrord.volume.link.records import ALONE, DATA_ONLY, HEADER, Kind, Record
from mirrord.volume.link.stream import CANNOT, StreamError, said
from mirrord.volume.replication.syncing import synced

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from mirrord.volume.link.stream import Stream
    from mirrord.volume.loop import Loop

_WRITE, _FSYNC, _APPLIED = int(Kind.WRITE), int(Kind.FSYNC), int(Kind.APPLIED)

Handler = Callable[[Record], None]
"""Takes a record whose payload is gone when it returns."""


class Follower:
    """One link's."""

    def __init__(self, trees: Sequence[Tree], loop: Loop, threads: ThreadPoolExecutor, *, on_disk: bool) -> None:
        """on_disk: what is acknowledged is on the disk."""
        self.stream: Stream
        """The way to the primary; set before anything comes."""
        self.handlers: dict[int, Handler] = {}
        """For records that are no changes."""
        self.preparations: dict[int, Handler] = {}
        """Called before a change of these kinds is carried out."""
        self.applied = 0
        self._trees = trees
        self._loop = loop
        self._threads = threads
        self._on_disk = on_disk
        self._acknowledged = 0
        self._undurable: dict[tuple[Tree, int], bool] = {}
        self._syncs: list[tuple[int, Tree, int, int]] = []
        """Of this batch: seq, tree, node, flags."""

    def take(self, kind: int, tree: int, flags: int, seq: int, node: int, offset: int, payload: memoryview) -> None:
        """Carries out one record. Raises StreamError after the primary was told why that is not possible."""
        try:
            if kind == _WRITE:
                target = self._trees[tree]
                target.write(node, payload, offset)
                if self._on_disk:
                    self._undurable.setdefault((target, node), False)
            elif kind == _FSYNC:
                self._syncs.append((seq, self._trees[tree], node, flags))
            else:
                self._take_other(Record(kind, tree, node, offset, flags, payload, seq))
        except CANNOT as error:
            self._leave(seq, error)
        self.applied = seq

    def taken(self) -> None:
        """The end of a batch."""
        if self._undurable:
            self._make_durable()
        if self.applied != self._acknowledged:
            self._acknowledged = self.applied
            self.stream.gather(HEADER.pack(0, _APPLIED, 0, 0, self.applied, 0, 0), b"")
            self.stream.flush()
        if self._syncs:
            syncs, self._syncs = self._syncs, []
            for sync in syncs:
                self._sync(*sync)
        for tree in self._trees:
            tree.trim()

    def answer(self, record: Record) -> None:
        """Sends the primary a record of ours, at once."""
        self.stream.gather(record.header(record.seq), record.payload)
        self.stream.flush()

    def _take_other(self, record: Record) -> None:
        handler = self.handlers.get(record.kind)
        if handler is not None:
            handler(record)
            return
        prepare = self.preparations.get(record.kind)
        if prepare is not None:
            prepare(record)
        apply(self._trees, record)
        if self._on_disk:
            tree = self._trees[record.tree]
            self._undurable.update(dict.fromkeys(((tree, node) for node in record.touches), True))

    def _sync(self, seq: int, tree: Tree, node: int, flags: int) -> None:
        data_only = bool(flags & DATA_ONLY)
        try:
            descriptor = tree.descriptor(node)
            if flags & ALONE:
                self._synced(seq, synced(descriptor, data_only=data_only))
            else:
                self._threads.submit(self._sync_beside, seq, os.dup(descriptor), data_only)
        except CANNOT as error:
            self._leave(seq, error)

    def _sync_beside(self, seq: int, descriptor: int, data_only: bool) -> None:
        """In a thread."""
        error = synced(descriptor, data_only=data_only)
        os.close(descriptor)
        self._loop.post(lambda: self._synced_beside(seq, error))

    def _synced_beside(self, seq: int, error: OSError | None) -> None:
        try:
            self._synced(seq, error)
        except StreamError as left:
            self.stream.part(str(left))

    def _synced(self, seq: int, error: OSError | None) -> None:
        if error is not None:
            self._leave(seq, error)
        self.answer(Record(Kind.SYNCED, 0, 0, seq=seq))

    def _make_durable(self) -> None:
        changed, self._undurable = self._undurable, {}
        try:
            local.make_durable(changed)
        except OSError as error:
            self._leave(self.applied, error)

    def _leave(self, seq: int, error: Exception) -> None:
        reason = said(error)
        self.answer(Record(Kind.FAILED, 0, 0, payload=reason.encode(), seq=seq))
        raise StreamError(f"this node could not carry out a change: {reason}")
