"""The primary's side of replication: changes in one order, to both nodes at once, answered when both have them.

Every change gets a number. A write is sent first and carried out here while the peer carries it out there; any other
change is carried out here first, after the writes before it, and sent with its result. An answer waits until the
change is done here (on the disk, if acknowledgement means that) and the peer has acknowledged its number; `_release`
is the only place that answers.

    ALONE    answers wait for this node only. There may be a link: changes are sent, and the peer is being brought up to date.
    PAIRED   answers wait for the peer, too.
    HELD     the peer is lost and nothing is decided: requests are put aside before they change anything, and changes
             that were on their way are answered when PAIRED or ALONE begins.
    FENCED   everything is refused with EIO, and nothing is acknowledged any more.

A change that was held may or may not have reached the peer. Its zone is in the journal since before it was made, no
checkpoint can have dropped it because a checkpoint needs the link, and PAIRED begins only after every zone of the
journal was compared; so then it is on both nodes, and so is everything else that was on its way.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from mirrord.core import zones
from mirrord.volume.figures import Figures
from mirrord.volume.journal import Journal
from mirrord.volume.records import HEADER, Kind, Record

if TYPE_CHECKING:
    from mirrord.volume.capture import Capture
    from mirrord.volume.stream import Stream
    from mirrord.volume.syncing import Syncing

PARKED_BYTES_MAX = 8 << 20
"""With more than this put aside, no more requests are taken."""

_CHUNK_BYTES = 1 << 20
_DISK_FAILED = (errno.EIO, errno.EROFS)


class Mode(Enum):
    ALONE = auto()
    PAIRED = auto()
    HELD = auto()
    FENCED = auto()


Answer = Callable[[int, Any], None]
"""Takes the request's number and what it is answered with; a method of the capture."""


class Replicator:
    """Implements the interface that the capture needs (replicating.py)."""

    def __init__(
        self, journal: Journal, syncing: Syncing, fault: Callable[[str], None], *, on_disk: bool
    ) -> None:
        """fault: told when this node's disk has failed. on_disk: an acknowledged change is on the disk of both."""
        self.mode = Mode.HELD
        self.seq = 0
        """The number of the newest change."""
        self.acknowledged = 0
        """Up to this number the peer has carried out everything."""
        self.figures = Figures()
        self.began_ns = 0
        """When this batch of requests was read."""
        self._journal = journal
        self._syncing = syncing
        self._fault = fault
        self._on_disk = on_disk
        self._stream: Stream | None = None
        self._writes: list[tuple[Capture, int, int, memoryview, int, int]] = []
        """Taken, sent, not yet carried out here: capture, node, offset, content, request, number."""
        self._unanswered: deque[tuple[int, int, Answer, int, Any]] = deque()
        """In the order of their numbers: number, when it was read, how to answer, request, with what."""
        self._parked: list[tuple[Capture, bytes]] = []
        self._parked_bytes = 0
        self._marking: set[tuple[int, int]] = set()
        """Zones that parked requests wait for."""
        self._undurable: set[tuple[Capture, int]] = set()
        """Written in this batch: capture, node. Only if acknowledgement means the disk."""
        self._sequences: deque[tuple[Capture, Iterator[Record], int, bytes]] = deque()

    # -- what the capture calls ------------------------------------------------------------------------------------------

    def admits(self, capture: Capture, node: int, offset: int = 0, length: int = 0) -> bool:
        if self.mode is Mode.HELD:
            return False
        if self.mode is Mode.FENCED:
            raise OSError(errno.EIO, "fenced")
        tree = capture.tree
        wanted = zones.of_range(tree.inode(node), offset, length)
        if self._journal.covers(tree.number, wanted):
            return True
        self._mark(tree.number, wanted)
        return False

    def park(self, capture: Capture, message: memoryview) -> None:
        self._parked.append((capture, bytes(message)))
        self._parked_bytes += len(message)

    def catch_up(self) -> None:
        if self._writes:
            self.flush()
            writes, self._writes = self._writes, []
            for write in writes:
                self._carry_out(*write)

    def write(self, capture: Capture, node: int, offset: int, content: memoryview, unique: int) -> None:
        self.seq += 1
        if self._stream is not None:
            tree = capture.tree
            if node not in tree.bound:
                self._bind(capture, (node,))
            self._stream.gather(
                HEADER.pack(len(content), Kind.WRITE, tree.number, 0, self.seq, node, offset), content
            )
        self._writes.append((capture, node, offset, content, unique, self.seq))

    def change(self, capture: Capture, record: Record, unique: int = 0, reply: bytes = b"") -> None:
        seq = self.send(capture, record)
        if self._on_disk:
            self._undurable.add((capture, 0))
        if unique:
            self._unanswered.append((seq, self.began_ns, capture.answer, unique, reply))

    def stream(self, capture: Capture, records: Iterator[Record], unique: int, reply: bytes) -> None:
        self._sequences.append((capture, records, unique, reply))

    def fsync(self, capture: Capture, node: int, unique: int, *, data_only: bool) -> None:
        self.catch_up()
        self._syncing.begin(capture, node, unique, data_only=data_only, alone=not self._unanswered)

    def forgotten(self, capture: Capture, node: int) -> None:
        if self._stream is not None:
            self._put(Record(Kind.FORGET, capture.tree.number, node))

    # -- the batch -------------------------------------------------------------------------------------------------------

    @property
    def congested(self) -> bool:
        """Whether requests should wait in the kernel for a while."""
        return self._parked_bytes > PARKED_BYTES_MAX or (self._stream is not None and self._stream.full)

    def settle(self) -> None:
        """The end of a batch: what was taken is carried out, and what can be answered is."""
        self.catch_up()
        if self._sequences:
            self._advance_sequences()
        self.flush()
        if self._undurable:
            self._make_durable()
        self._release()

    def send(self, capture: Capture, record: Record) -> int:
        """A record, after the nodes that it mentions; returns its number. It leaves with the end of the batch."""
        if self._stream is not None:
            self._bind(capture, record.mentions)
        return self._put(record)
