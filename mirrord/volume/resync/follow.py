"""The secondary's side of a resync: it is told how things should be, repairs what it can and asks for the rest.

Every record is dealt with when the stream gets there, so what it says is true at that moment: live changes before it
are made, live changes behind it are not. What takes long and needs no order (walking through the tree, removing what
was put aside, syncfs) is done by a thread, and the primary waits for the answer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING

from mirrord.core.zones import Index
from mirrord.volume.files import syscalls
from mirrord.volume.files.followed_tree import FollowedTree
from mirrord.volume.files.freeing import LARGE_BYTES, occupied_bytes
from mirrord.volume.journal.journal import Journal
from mirrord.volume.journal.moved import Notes
from mirrord.volume.link.records import STAYS, Kind, Made, Record
from mirrord.volume.link.stream import CANNOT, said
from mirrord.volume.resync import digests as content
from mirrord.volume.resync import records as form
from mirrord.volume.resync.content import HOLE_BYTES
from mirrord.volume.resync.diverged import Keeper
from mirrord.volume.resync.listing import Entry, describe, unpack_entries
from mirrord.volume.resync.records import Candidate
from mirrord.volume.resync.repair import Hints, Repair, path_in
from mirrord.volume.resync.staging import Staging, remove
from mirrord.volume.resync.walk import walk

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

PART_BYTES = 1 << 16
_EXCHANGE = 2  # RENAME_EXCHANGE
_PUNCH = 0x3  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE

Answer = Callable[[Record], None]
Hold = Callable[[bool], None]


class ResyncFollower:
    """One link's, for all trees.

    state: the volume's own folder; answer: sends a record to the primary; post: calls a function in the loop's thread.
    """

    def __init__(
        self, trees: Sequence[FollowedTree], journal: Journal, state: Path, threads: ThreadPoolExecutor,
        answer: Answer, post: Callable[[Callable[[], None]], None], failed: Callable[[str], None], hold: Hold,
    ) -> None:  # fmt: skip
        """failed: what a thread did went wrong; a sentence. The link has to end. hold: whether nothing is to be
        taken from the stream for now."""
        self._trees = trees
        self._journal = journal
        self._state = state
        self._threads = threads
        self._answer = answer
        self._post = post
        self._failed = failed
        self._hold = hold
        self._waits = False
        """A record is dealt with by a thread, and the stream waits."""
        self._beside: Future[None] | None = None
        self._keepers: list[Keeper] | None = None
        self._stagings = [Staging(tree.root) for tree in trees]
        self._hints = [Hints() for _ in trees]
        self._repairs = self._make_repairs()
        self._buffer = memoryview(bytearray(content.BLOCK_BYTES))
        self._told_kept = 0

    def handlers(self) -> dict[int, Callable[[Record], None]]:
        """By kind of record."""
        return {
            Kind.HINTS: self._take_hints,
            Kind.LISTING: lambda record: self._take_maybe_long(self._take_listing, record),
            Kind.DIGESTS: lambda record: self._take_maybe_long(self._take_digests, record),
            Kind.ATTRIBUTES: lambda record: self._take_maybe_long(self._take_attributes, record),
            Kind.CANDIDATES: self._take_candidates,
            Kind.FINISH: self._finish,
            Kind.CHECKPOINT: self._checkpoint,
        }

    def preparations(self) -> dict[int, Callable[[Record], None]]:
        """What is to be done before live changes of these kinds, as long as both sides are not equal."""
        kinds = (Kind.MAKE, Kind.LINK, Kind.UNLINK, Kind.RMDIR, Kind.RENAME)
        return dict.fromkeys(kinds, self._make_way)

    def _make_way(self, record: Record) -> None:
        """A name comes that something has here that is to go. A folder goes that is empty there: what is left in it
        here was removed before the peer could be told. Or a file does that stays under another name there."""
        repair, payload = self._repairs[record.tree], bytes(record.payload)
        match record.kind:
            case Kind.MAKE if repair.is_clearing(record.node):
                repair.expect(record.node, Made.unpack(payload).name)
            case Kind.LINK:
                repair.expect(record.offset, payload)
            case Kind.RENAME if not record.flags & _EXCHANGE:
                name = payload.partition(b"\0")[2]
                repair.expect(record.offset, name)
                (repair.stay if record.flags & STAYS else repair.empty)(record.offset, name)
            case Kind.UNLINK if record.flags & STAYS:
                repair.stay(record.node, payload)
            case Kind.RMDIR:
                repair.empty(record.node, payload)

    def close(self) -> None:
        """The link is over."""
        for keeper in self._keepers or ():
            keeper.end()
        if self._beside is not None and not self._beside.cancel():
            wait([self._beside])
        for repair in self._repairs:
            repair.close()
        for staging in self._stagings:
            staging.close()

    # -- names ---------------------------------------------------------------------------------------------------------

    def _take_hints(self, record: Record) -> None:
        notes = Notes()
        notes.unpack_into(bytes(record.payload))
        for node, path in notes.paths.items():
            self._hints[record.tree].add(self._trees[record.tree].root, node, path)

    def _take_listing(self, record: Record) -> None:
        repair = self._repairs[record.tree]
        outcome = form.Outcome()
        if record.flags & form.FIRST:
            repair.begin(record.node)
        if not record.flags & form.MORE:
            whole, other = bool(record.flags & form.WHOLE), bool(record.flags & form.OTHER)
            outcome = repair.entries(record.node, unpack_entries(record.payload), whole=whole, other=other)
        if record.flags & form.LAST:
            repair.end(record.node)
        more = repair.clear(record.node)
        self._say(Record(Kind.LISTED, record.tree, record.node, 0, form.MORE * more, outcome.pack()))
        self._tell_kept()

    def _take_attributes(self, record: Record) -> None:
        (wanted,) = unpack_entries(record.payload)
        tree = self._trees[record.tree]
        fd = os.open(tree.path(record.node), os.O_PATH)
        try:
            have = describe(fd, node=record.node)
            if have.is_file and have.size != wanted.size:
                self._keep(record, fd)
        finally:
            os.close(fd)
        self._repairs[record.tree].attributes(record.node, wanted)

    # -- content -------------------------------------------------------------------------------------------------------

    def _take_digests(self, record: Record) -> None:
        fd = self._trees[record.tree].descriptor(record.node)
        look = bool(record.flags & form.LOOK)
        if record.flags & form.HOLE:
            payload = form.pack_looked_at(*self._differs_from_hole(record, fd, look=look))
        else:
            payload = form.pack_blocks(self._differs(record, fd, look=look))
        flags = record.flags & form.HOLE
        self._say(Record(Kind.COMPARED, record.tree, record.node, record.offset, flags, payload))

    def _differs(self, record: Record, fd: int, *, look: bool) -> list[int]:
        """The blocks that the primary has to send. What is nothing but zeros there becomes a hole here at once."""
        theirs, start = bytes(record.payload), record.offset
        end = start + len(theirs) // content.DIGEST_BYTES * content.BLOCK_BYTES
        ours = content.digests(fd, start, end, self._buffer)
        wrong = content.differing(ours, theirs)
        if wrong and not look:
            self._keep(record, fd)
        holes = set() if look else {number for number in wrong if content.is_hole(theirs, number)}
        for number in holes:
            _punch(fd, start + number * content.BLOCK_BYTES, content.BLOCK_BYTES)
        return [number for number in wrong if number not in holes]

    def _differs_from_hole(self, record: Record, fd: int, *, look: bool) -> tuple[list[int], int]:
        """What is not zero here within a hole of the primary's goes; if we only look, the first block says so. And how
        much of the hole was looked at, which is no more than can be read at once."""
        (length,) = form.LENGTH.unpack(record.payload)
        end, read_bytes = record.offset + length, 0
        at = content.next_data(fd, record.offset)
        while at is not None and at < end:
            if read_bytes >= HOLE_BYTES:
                return [], at - at % content.BLOCK_BYTES - record.offset
            stop = min(at - at % content.BLOCK_BYTES + content.BLOCK_BYTES, end)
            if content.digests(fd, at, stop, self._buffer) != content.ZERO_DIGEST and os.fstat(fd).st_size > at:
                if look:
                    return [0], length
                self._keep(record, fd)
                _punch(fd, at, stop - at)
            read_bytes += stop - at
            at = content.next_data(fd, stop)
        return [], length

    def _keep(self, record: Record, fd: int) -> None:
        """The file is about to be changed, and nobody changed it yet."""
        if self._keepers is None or record.node in self._keepers[record.tree].nodes:
            return
        self._keepers[record.tree].nodes.add(record.node)
        tree = self._trees[record.tree]
        path = path_in(tree.root, fd) or b"inode-%d" % os.fstat(fd).st_ino
        self._keepers[record.tree].copy_open(fd, path)
        self._tell_kept()

    def _tell_kept(self) -> None:
        if self._keepers is None:
            return
        files = sum(keeper.files for keeper in self._keepers)
        if files != self._told_kept:
            self._told_kept = files
            folder = os.fsencode(self._keepers[0].folder)
            self._say(Record(Kind.KEPT, 0, 0, files, 0, folder))

    def _take_maybe_long(self, take: Callable[[Record], None], record: Record) -> None:
        """What is in a record may have to be kept before it is made so, or much of a file to go, which takes as long as
        it is large: a thread does it, and the loop goes on with everything but the stream."""
        if self._keepers is None and not self._shortens_much(record):
            take(record)
            return
        own = record._replace(payload=bytes(record.payload))
        self._waits = True
        self._hold(True)
        self._beside = self._in_thread(lambda: take(own), self._taken)

    def _shortens_much(self, record: Record) -> bool:
        if record.kind == Kind.DIGESTS or record.flags & form.MORE:
            return False
        fd = self._trees[record.tree].descriptor(record.node)
        return any(_is_much_longer(fd, record, wanted) for wanted in unpack_entries(record.payload) if wanted.is_file)

    def _taken(self) -> None:
        self._waits = False
        self._hold(False)

    def _say(self, record: Record) -> None:
        """An answer, by whichever thread."""
        if self._waits:
            self._send_later(record)
        else:
            self._answer(record)

    # -- what a thread does --------------------------------------------------------------------------------------------

    def _take_candidates(self, record: Record) -> None:
        """The primary asks: what does this node's journal say may differ? And how is what differs dealt with?"""
        if record.flags & form.KEEP and self._keepers is None:
            first = Keeper(self._state, 0)
            self._keepers = [first, *(Keeper(self._state, tree.number, first.folder) for tree in self._trees[1:])]
            self._repairs = self._make_repairs()
        if bytes(record.payload) != self._journal.base or not any(self._journal.base):
            self._answer(Record(Kind.CANDIDATES, record.tree, 0, flags=form.LAST | form.KEEP))
            return
        index = Index(self._journal.marks[record.tree].durable.copy())
        self._in_thread(lambda: self._walk(record.tree, index))

    def _walk(self, tree: int, index: Index) -> None:
        part = bytearray()
        for candidate in _candidates(self._trees[tree].root, index):
            part += candidate.pack()
            if len(part) > PART_BYTES:
                self._send_later(Record(Kind.CANDIDATES, tree, 0, payload=bytes(part)))
                part.clear()
        self._send_later(Record(Kind.CANDIDATES, tree, 0, flags=form.LAST, payload=bytes(part)))

    def _finish(self, record: Record) -> None:
        self._in_thread(lambda: self._empty(record))

    def _empty(self, record: Record) -> None:
        leave = self._keepers[record.tree].leave if self._keepers else remove
        self._stagings[record.tree].empty(leave)
        self._post(self._tell_kept)
        self._send_later(Record(Kind.FINISH, record.tree, 0))

    def _checkpoint(self, record: Record) -> None:
        base = bytes(record.payload) if record.flags & form.BASE else None
        self._in_thread(lambda: self._sync(record.offset, base))

    def _sync(self, number: int, base: bytes | None) -> None:
        for tree in self._trees:
            syscalls.syncfs(tree.root)
        answer = Record(Kind.CHECKPOINT, 0, 0, number)
        if base is None:
            self._send_later(answer)
        else:
            self._post(lambda: self._journal.clear(base, lambda: self._answer(answer)))

    def _send_later(self, record: Record) -> None:
        self._post(lambda: self._answer(record))

    def _in_thread(self, work: Callable[[], None], afterwards: Callable[[], None] = lambda: None) -> Future[None]:
        def guarded() -> None:
            try:
                work()
            except CANNOT as error:
                sentence = said(error)
                self._post(lambda: self._failed(sentence))
            self._post(afterwards)

        return self._threads.submit(guarded)

    def _make_repairs(self) -> list[Repair]:
        keepers: Sequence[Keeper | None] = self._keepers or [None] * len(self._trees)
        return [
            Repair(tree, staging, hints, keeper, Index(self._journal.marks[tree.number].durable.copy()))
            for tree, staging, hints, keeper in zip(self._trees, self._stagings, self._hints, keepers, strict=True)
        ]


def _is_much_longer(fd: int, record: Record, wanted: Entry) -> bool:
    """Whether the file that is to be like this has much to lose."""
    try:
        named = record.kind == Kind.LISTING
        status = os.stat(wanted.name, dir_fd=fd, follow_symlinks=False) if named else os.fstat(fd)
    except FileNotFoundError:
        return False
    return min(status.st_size - wanted.size, occupied_bytes(status)) > LARGE_BYTES


def _punch(fd: int, start: int, length: int) -> None:
    """A hole, and times as if nothing had been done: the primary does not know of it."""
    status = os.fstat(fd)
    syscalls.fallocate(fd, _PUNCH, start, length)
    os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))


def _candidates(root_fd: int, index: Index) -> Iterator[Candidate]:
    for found in walk(root_fd, index.__contains__):
        if found is None:
            continue
        chunks: list[int] | None = []
        if found.is_file:
            try:
                size = os.stat(b"/proc/self/fd/%d/%s" % (root_fd, found.path), follow_symlinks=False).st_size
            except OSError:
                continue
            chunks = index.chunks(found.inode, size)
        yield Candidate(found.path, found.is_folder, None if chunks is None else tuple(chunks))
