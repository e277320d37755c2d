"""The primary's side of replication: changes in one order, to both nodes at once, answered when both have them.

Everything sent gets a number. A write is sent first and carried out here while the peer carries it out there; any other
change is carried out here first, after the writes before it, and sent with its result. An answer waits until the
change is done here (on the disk, if acknowledgement means that) and, depending on the mode, until the peer has
acknowledged its number; `_release` is the only place that answers.

A change that was on its way when the link broke may or may not have reached the peer. Its zone is in the journal since
before it was made, no checkpoint has dropped it since, because a checkpoint needs the link, and PAIRED begins only
after every zone of the journal was compared; so then it is on both nodes, and may be answered.
"""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mirrord.core import zones
from mirrord.volume.files import local
from mirrord.volume.journal import moves
from mirrord.volume.journal.journal import Journal
from mirrord.volume.link.records import ALONE, DATA_ONLY, Kind, Record
from mirrord.volume.replication.figures import Figures
from mirrord.volume.replication.mode import Mode
from mirrord.volume.replication.parked import Parked
from mirrord.volume.replication.pieces import pieces

if TYPE_CHECKING:
    from mirrord.volume.files.tree import Tree
    from mirrord.volume.fuse.capture import Capture
    from mirrord.volume.link.stream import Stream
    from mirrord.volume.replication.syncing import Syncing

Answer = Callable[[int, Any], None]
"""Takes the request's number and what it is answered with; a method of the capture."""


class Replicator:
    """Implements the interface that the capture needs (replicating.py), and what the volume needs to direct it."""

    def __init__(self, journal: Journal, syncing: Syncing, fault: Callable[[str], None], *, on_disk: bool) -> None:
        """fault: told, in a sentence, when this node's disk has failed. on_disk: an answer means both disks."""
        self.mode = Mode.HELD
        self.peer: Stream | None = None
        """The way to it, while there is a link."""
        self.screen: Callable[[Record], bool] | None = None
        """While the peer is brought up to date: whether it can carry out this change by now. If not, the resync finds
        what became of it."""
        self.regulate: Callable[[], None] = lambda: None
        """Called when it may have come to be congested, or to be so no more."""
        self.seq = 0
        """The number of the newest record that was sent. What is not sent, because it concerns a file without a name or
        there is no link, takes none, and is answered with those before it."""
        self.acknowledged = 0
        """Up to this number the peer has carried out everything."""
        self.figures = Figures()
        self.began_ns = 0
        """When this batch of requests was read."""
        self._journal = journal
        self._syncing = syncing
        self._fault = fault
        self._on_disk = on_disk
        self._suspended = False
        self._writes: list[tuple[Capture, int, int, memoryview, int, int]] = []
        """Taken, sent, not carried out here yet: capture, node, offset, content, request, number."""
        self._unanswered: deque[tuple[int, int, Capture, Answer, int, Any]] = deque()
        """In the order of their numbers: number, when it was read, capture, how it answers, request, with what."""
        self._sequences: deque[tuple[Capture, Iterator[Record], int, bytes]] = deque()
        self._parked = Parked()
        self._marking: set[tuple[int, int]] = set()
        """Tree and zone that requests put aside wait for."""
        self._undurable: dict[tuple[Tree, int], bool] = {}
        """What this batch has changed, if an answer means the disk: tree, node, and whether more than content."""

    # -- what the capture calls ----------------------------------------------------------------------------------------

    def admits(self, capture: Capture, node: int, offset: int = 0, length: int = 0) -> bool:
        if self.mode is Mode.HELD or self._suspended:
            return False
        if self.mode is Mode.FENCED:
            raise OSError(errno.EIO, "fenced")
        tree = capture.tree
        inode = tree.inode(node)
        one_zone = offset % zones.CHUNK_BYTES + length <= zones.CHUNK_BYTES
        if one_zone and zones.zone(inode, offset) in self._journal.marks[tree.number].recent.single:
            return True  # as nearly always
        wanted = zones.of_range(inode, offset, length)
        if self._journal.covers(tree.number, wanted):
            return True
        new = [at for at in wanted if (tree.number, at) not in self._marking]
        if new:
            self._mark(tree.number, new)
        return False

    def park(self, capture: Capture, message: memoryview) -> None:
        self._parked.add(capture, message)

    def go_on(self, capture: Capture, message: memoryview) -> None:
        self.park(capture, message)
        self._journal.mark(capture.tree.number, (), self.retry)  # nothing: it calls back

    def catch_up(self) -> None:
        if not self._writes:
            return
        self.flush()
        writes, self._writes = self._writes, []
        failed = []
        for capture, node, offset, content, unique, seq in writes:
            try:
                capture.tree.write(node, content, offset)
            except OSError as error:
                failed.append((capture, node, offset, len(content), unique, error))
            else:
                self._unanswered.append((seq, self.began_ns, capture, capture.written, unique, len(content)))
        for failure in failed:  # not before: what is here when all of them are done is what the peer is to have
            self._write_failed(*failure)

    def write(self, capture: Capture, node: int, offset: int, content: memoryview, unique: int) -> None:
        tree = capture.tree
        peer = self.peer
        if self.screen is not None and not self.screen(Record(Kind.WRITE, tree.number, node, offset, 0, content)):
            peer = None
        if peer is not None and (node in tree.bound or self._bind(capture, (node,))) and not tree.is_orphan(node):
            self.seq += 1
            for piece in pieces(tree.number, node, offset, content, self.seq):
                peer.gather(*piece)
        self.figures.bytes += len(content)
        self._writes.append((capture, node, offset, content, unique, self.seq))
        if self._on_disk:
            self._undurable.setdefault((tree, node), False)

    def change(self, capture: Capture, record: Record, unique: int = 0, reply: bytes = b"") -> None:
        if record.kind == Kind.RENAME:
            moves.note(self._journal, capture.tree, record)
        self.send(capture, record)
        if self._on_disk:
            self._undurable.update(dict.fromkeys(((capture.tree, node) for node in record.touches), True))
        if unique and self.mode is Mode.FENCED:
            capture.fail(unique, errno.EIO)
        elif unique:
            self._unanswered.append((self.seq, self.began_ns, capture, capture.answer, unique, reply))

    def stream(self, capture: Capture, records: Iterator[Record], unique: int, reply: bytes) -> None:
        self._sequences.append((capture, records, unique, reply))

    def fsync(self, capture: Capture, node: int, unique: int, *, data_only: bool) -> None:
        if self.mode is Mode.FENCED:
            raise OSError(errno.EIO, "fenced")
        self.catch_up()
        alone = self._syncing.is_short(capture.tree, node) and not self._unanswered
        seq = 0
        if self.mode is Mode.PAIRED and not capture.tree.is_orphan(node):
            flags = data_only * DATA_ONLY | alone * ALONE
            seq = self.send(capture, Record(Kind.FSYNC, capture.tree.number, node, 0, flags))
            self.flush()
        held = self.mode is Mode.HELD
        self._syncing.begin(capture, node, unique, seq, data_only=data_only, alone=alone, held=held)

    def forgotten(self, capture: Capture, node: int) -> None:
        if self.peer is not None:
            self.put(Record(Kind.FORGET, capture.tree.number, node))

    # -- the batch -----------------------------------------------------------------------------------------------------

    @property
    def congested(self) -> bool:
        """Whether requests are to wait in the kernel."""
        return self._parked.full or (self.peer is not None and self.peer.full)

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
        """Gathers a record, after what the peer must know for it; returns its number, or that of the last one sent if
        there is no link, or nothing that the peer could know the nodes by."""
        if self.screen is not None and not self.screen(record):
            return self.seq
        if self.peer is not None and self._bind(capture, record.mentions):
            self.put(record)
        return self.seq

    def flush(self) -> None:
        """What was gathered leaves."""
        if self.peer is not None:
            self.peer.flush()

    # -- what the volume calls -----------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether everything that was taken is answered, and the peer, if there is one, has carried out all of it."""
        at_peer = self.peer is None or self.acknowledged == self.seq
        return at_peer and not (self._unanswered or self._sequences or self._syncing.under_way)

    @property
    def held(self) -> int:
        """Requests without an answer."""
        return len(self._unanswered) + len(self._parked)

    def link(self, peer: Stream) -> None:
        """There is a peer: it is told of every change from here on. What was on its way before is not sent again."""
        self.peer = peer
        self.acknowledged = self.seq

    def unlink(self) -> None:
        """The link is over. If the peer was relied on, changes are held."""
        self.peer = None
        if self.mode is Mode.PAIRED:
            self.mode = Mode.HELD

    def acknowledge(self, seq: int) -> None:
        """The peer has carried out everything up to this number."""
        self.acknowledged = seq
        if self._sequences:
            self.settle()
        else:
            self._release()

    def pair(self) -> None:
        """The peer has all that was answered and, since it was compared, all that was held: rely on it."""
        self._enter(Mode.PAIRED)

    def go_alone(self) -> None:
        """The peer is durably known to be outdated: nothing waits for it."""
        self._suspended = False
        self._enter(Mode.ALONE)

    def hold(self) -> None:
        """Nothing is decided: changes wait."""
        self.mode = Mode.HELD

    def suspend(self, *, suspended: bool) -> None:
        """Whether new changes are put aside, while those on their way are completed."""
        self._suspended = suspended
        if not suspended:
            self.retry()

    def fence(self) -> None:
        """Acknowledge nothing any more: whoever waits gets EIO."""
        self.mode = Mode.FENCED
        self.peer = None
        waiting = [(capture, unique) for capture, _, _, _, unique, _ in self._writes]
        waiting += [(capture, unique) for _, _, capture, _, unique, _ in self._unanswered]
        waiting += [(capture, unique) for capture, _, unique, _ in self._sequences]
        self._writes.clear()
        self._unanswered.clear()
        self._sequences.clear()
        for capture, unique in waiting:
            capture.fail(unique, errno.EIO)
        self._syncing.fail_all()
        self.retry()

    def retry(self) -> None:
        """Requests that were put aside are tried again; who still may not, is put aside again."""
        self.began_ns = time.monotonic_ns()
        for capture, message in self._parked.take():
            capture.handle(memoryview(message))
        self.settle()
        self.regulate()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _enter(self, mode: Mode) -> None:
        self.mode = mode
        for capture, _, unique, reply in self._sequences:
            self._unanswered.append((self.seq, self.began_ns, capture, capture.answer, unique, reply))
        self._sequences.clear()
        self._syncing.without_peer()
        self.retry()

    def _release(self) -> None:
        if self.mode is Mode.PAIRED:
            self._answer_up_to(self.acknowledged)
        elif self.mode is Mode.ALONE:
            self._answer_up_to(self.seq)

    def _answer_up_to(self, seq: int) -> None:
        unanswered = self._unanswered
        if not unanswered or unanswered[0][0] > seq:
            return
        now = time.monotonic_ns()
        while unanswered and unanswered[0][0] <= seq:
            _, began_ns, _, answer, unique, reply = unanswered.popleft()
            answer(unique, reply)
            self.figures.answered(now - began_ns)

    def _bind(self, capture: Capture, nodes: tuple[int, ...]) -> bool:
        """Whether the peer knows all of them now."""
        tree = capture.tree
        for node in nodes:
            if node not in tree.bound:
                for record in tree.bindings(node):
                    self.put(record)
        return all(node in tree.bound for node in nodes)

    def put(self, record: Record) -> None:
        """Gathers a record that mentions nothing that the peer would have to know."""
        assert self.peer is not None
        self.seq += 1
        self.peer.gather(record.header(self.seq), record.payload)

    def _advance_sequences(self) -> None:
        while self._sequences and not (self.peer is not None and self.peer.full):
            capture, records, unique, reply = self._sequences[0]
            record = next(records, None) if self.peer is not None else None
            if record is None:
                self._sequences.popleft()
                self._unanswered.append((self.seq, self.began_ns, capture, capture.answer, unique, reply))
            else:
                self.send(capture, record)
                self.flush()

    def _mark(self, tree: int, new: list[int]) -> None:
        waiting = {(tree, at) for at in new}
        self._marking |= waiting

        def marked() -> None:
            self._marking.difference_update(waiting)
            self.retry()

        self._journal.mark(tree, new, marked)

    def _write_failed(self, capture: Capture, node: int, offset: int, length: int, unique: int, error: OSError) -> None:
        """The peer has carried out what failed here: it is sent what the file has here now."""
        if local.is_broken(error):
            self._fault(f"a write failed: {error.strerror}")
        if self.peer is not None and not capture.tree.is_orphan(node):
            for record in local.as_it_is(capture.tree, node, offset, length):
                self.send(capture, record)
            self.flush()
        self._unanswered.append((self.seq, self.began_ns, capture, capture.fail, unique, error.errno))

    def _make_durable(self) -> None:
        changed, self._undurable = self._undurable, {}
        try:
            local.make_durable(changed)
        except OSError as error:
            self._fault(f"the disk does not keep what is written: {error.strerror}")
            self.hold()
