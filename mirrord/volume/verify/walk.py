"""Comparing one tree with the peer's while applications go on, at the primary: the walk of a full resync, only looking.

    names     every folder is listed to the peer, part by part, and the peer says what is not so there
    content   the files of each part are compared by digests as soon as the peer has said that it has them
    missed    what was moved from where the walk had not been yet to where it had been: the same for each of these
    again     every name that differed is looked at once more, by itself

A question says how things are when it is put into the stream, and the peer answers when it gets there: so the answer is
exact, with two exceptions. A listing of many parts is not of one moment, and times follow their changes later. That is
what the second look is for: one record, the times settled before it.

Only what the peer was seen to have is ever mentioned to it by its id: a thing that is missing there is a difference to
report, and no reason for the link to end. Whether all names of a file are the same file there, too, is seen in the
second look, since by then the peer knows the file by one of them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from mirrord.volume.files import syscalls
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import ROOT
from mirrord.volume.link.records import Kind, Record
from mirrord.volume.resync.candidates import GO_ON, WAIT, Put
from mirrord.volume.resync.content import FileComparison
from mirrord.volume.resync.digests import BLOCK_BYTES, DIGEST_BYTES
from mirrord.volume.resync.listing import Entry, describe, pack_entries, read_entry
from mirrord.volume.resync.names import PART_ENTRIES, READ_FOLDER, Listing, Met, Names
from mirrord.volume.resync.records import HOLE, LAST, LENGTH
from mirrord.volume.resync.repair import path_in
from mirrord.volume.resync.walk import walk
from mirrord.volume.verify.moves import Missed, Moves
from mirrord.volume.verify.records import CONTENT, Difference, absent, unpack_differences

PIECE_BYTES = 1 << 18
"""Of content in one question. A live write waits for one of these at this node, and for the window at the peer."""

WINDOW_BYTES = 2 * PIECE_BYTES
"""Of content that the peer is asked to read ahead of its answers: one piece is on its way while it reads another."""

_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NOATIME


class _Place(NamedTuple):
    """A folder's handle, and a name in it."""

    folder: bytes
    name: bytes


class Walk:
    """One tree's."""

    def __init__(self, tree: ServedTree, put: Put, settle_times: Callable[[], None]) -> None:
        """put: puts a record into the stream behind everything that is in it."""
        self.done_bytes = self.total_bytes = 0
        self.done_files = self.total_files = 0
        self.found: dict[bytes, list[str]] = {}
        """Path, relative to the root -> the ways in which it differs."""
        self._tree = tree
        self._put = put
        self._settle_times = settle_times
        self._names = Names(tree, put)
        self._buffer = memoryview(bytearray(BLOCK_BYTES))
        self._stack: list[tuple[int, bool]] = [(ROOT, False)]
        """Folders, and whether all that is in them was compared."""
        self._answer: dict[bytes, Difference] = {}
        self._answered = True
        self._files: dict[int, tuple[FileComparison, _Place]] = {}
        """Those under way."""
        self._being_read: deque[int] = deque()
        """Bytes of each question about content that is not answered."""
        self._linked: set[int] = set()
        """Files of several names that the peer has, and knows by one of them until the end."""
        self._again: dict[int, tuple[bytes, set[bytes]]] = {}
        """Folder -> its handle, and the names in it to look at once more."""
        self._moves = Moves(tree)

    def steps(self) -> Iterator[bool]:
        """All there is to do, in small steps: whether to go on at once, or only after an answer."""
        yield from self._count()
        yield from self._walk()
        while (missed := self._moves.take_missed()) is not None:
            yield from self._compare_missed(missed)
            yield from self._walk()
        while self._files:
            yield WAIT
        yield from self._look_again()
        for node in self._linked:
            self._names.dismiss(node)

    def _walk(self) -> Iterator[bool]:
        while self._stack:
            folder, compared = self._stack.pop()
            if compared:
                self._names.dismiss(folder)
            elif not self._moves.has_entered(folder):
                self._stack.append((folder, True))
                self._moves.enter(folder)
                yield from self._enter(folder)
                self._moves.leave(folder)

    def sees(self, record: Record) -> None:
        """A live change that is sent; it was carried out here already, unless it is a WRITE."""
        self._moves.sees(record)

    def take(self, record: Record) -> None:
        """An answer of the peer."""
        if record.kind == Kind.LOOKED:
            self._answer |= {each.name: each for each in unpack_differences(bytes(record.payload))}
            self._answered = bool(record.flags & LAST)
            return
        self._being_read.popleft()
        if record.node in self._files:
            self._files[record.node][0].answered(record)
            self._conclude(record.node)

    def close(self) -> None:
        for comparison, _ in self._files.values():
            comparison.close()

    # -- names ---------------------------------------------------------------------------------------------------------

    def _count(self) -> Iterator[bool]:
        counted = set()
        for found in walk(self._tree.root, lambda _: True):
            if found is not None and found.is_file and found.inode not in counted:
                with suppress(OSError):
                    attributes = syscalls.statx(self._tree.root, found.path)
                    self.total_bytes += attributes.size
                    self.total_files += 1
                    if attributes.nlink > 1:
                        counted.add(found.inode)
            yield GO_ON

    def _enter(self, folder: int) -> Iterator[bool]:
        """List a folder, and compare what is in it; its own folders come next."""
        fd = self._open(folder)
        if fd is None:
            return
        listing = Listing(self._tree.number, folder, fd, 0)
        try:
            for record in self._parts(listing):
                if not self._knows(folder):
                    return
                yield from self._look(folder, record, listing.take_met())
        finally:
            listing.close()

    def _compare_missed(self, missed: Missed) -> Iterator[bool]:
        """If it is where it was moved to, or was moved on from there, which has been told."""
        folder, name = missed.folder, missed.name
        self._names.meet(folder, missed.folder_handle)
        fd = self._open(folder)
        if fd is None:
            return
        try:
            entry, handle = read_entry(fd, name), syscalls.handle_of(fd, name)
        except FileNotFoundError:
            return
        finally:
            os.close(fd)
        record = Record(Kind.LOOK, self._tree.number, folder, payload=pack_entries([entry]))
        yield from self._look(folder, record, [(entry, handle)])

    def _look(self, folder: int, record: Record, met: Iterable[Met]) -> Iterator[bool]:
        """Ask whether the names are so there, and compare what is."""
        yield from self._ask(record)
        self._suspect(folder, self._answer)
        for entry, handle in met:
            if not (entry.is_file or entry.is_folder):
                continue  # a pipe is not to be opened
            if entry.name not in self._answer or self._answer[entry.name].same_object:
                yield from self._compare(folder, entry, handle)

    def _parts(self, listing: Listing) -> Iterator[Record]:
        if listing.folder == ROOT:
            own = describe(self._tree.root, node=ROOT)
            yield Record(Kind.LOOK, self._tree.number, ROOT, payload=pack_entries([own]))
        for record in listing.parts():
            yield record._replace(kind=Kind.LOOK)

    def _ask(self, record: Record) -> Iterator[bool]:
        """Until `_answer` is that to this LOOK."""
        self._answer, self._answered = {}, False
        self._put(record)
        while not self._answered:
            yield WAIT

    def _suspect(self, folder: int, names: Iterable[bytes]) -> None:
        for name in names:
            self._again.setdefault(folder, (self._names.handle(folder), set()))[1].add(name)

    def _compare(self, folder: int, entry: Entry, handle: bytes) -> Iterator[bool]:
        self._names.meet(entry.node, handle)
        if entry.is_folder:
            self._stack.append((entry.node, False))
            return
        if entry.links > 1:
            self._suspect(folder, [entry.name])
            if entry.node in self._linked:
                return
            self._linked.add(entry.node)
        while entry.node in self._files:
            yield WAIT  # another file had this number a moment ago
        self._names.places[entry.node] = folder, entry.name
        yield from self._compare_content(entry.node, handle, _Place(self._names.handle(folder), entry.name))

    # -- content -------------------------------------------------------------------------------------------------------

    def _compare_content(self, node: int, handle: bytes, place: _Place) -> Iterator[bool]:
        try:
            fd = syscalls.open_by_handle(self._tree.root, handle, _READ_FILE)
        except OSError:
            self._leave(node)
            return
        comparison = FileComparison(self._tree.number, node, fd, None, self._buffer, look=True, piece_bytes=PIECE_BYTES)
        self._files[node] = comparison, place
        for record in comparison.questions():
            if record is None:
                yield WAIT
                continue
            if not comparison.exists or not self._knows(node):
                comparison.give_up(asked=False)
                break
            self._put(record)
            size = _bytes_of(record)
            self.done_bytes += max(0, min(size, os.fstat(fd).st_size - record.offset))
            self._being_read.append(min(size, PIECE_BYTES))  # of a hole the peer reads nothing, mostly
            while sum(self._being_read) >= WINDOW_BYTES:
                yield WAIT
            yield GO_ON
        comparison.asked_all = True
        self._conclude(node)

    def _conclude(self, node: int) -> None:
        comparison, place = self._files[node]
        if comparison.ended:
            del self._files[node]
            if comparison.differs:
                self._report(place, (CONTENT,))
            comparison.close()
            self._leave(node)

    def _leave(self, node: int) -> None:
        """A file is compared, or gone."""
        self.done_files += 1
        if node not in self._linked:
            self._names.dismiss(node)

    # -- once more -----------------------------------------------------------------------------------------------------

    def _look_again(self) -> Iterator[bool]:
        for folder, (handle, names) in self._again.items():
            self._names.meet(folder, handle)
            ordered = sorted(names)
            for start in range(0, len(ordered), PART_ENTRIES):
                yield from self._look_at(folder, handle, ordered[start : start + PART_ENTRIES])
            self._names.dismiss(folder)

    def _look_at(self, folder: int, handle: bytes, names: list[bytes]) -> Iterator[bool]:
        self._settle_times()
        fd = self._open(folder)
        if fd is None:
            return
        try:
            entries = [self._entry(fd, name) for name in names]
        finally:
            os.close(fd)
        yield from self._ask(Record(Kind.LOOK, self._tree.number, folder, payload=pack_entries(entries)))
        for difference in self._answer.values():
            self._report(_Place(handle, difference.name), difference.words)

    def _entry(self, fd: int, name: bytes) -> Entry:
        if not name:
            return describe(fd, node=ROOT)
        try:
            entry = read_entry(fd, name)
        except FileNotFoundError:
            return absent(name)
        if entry.node in self._linked:
            self._knows(entry.node)
        return entry

    # -- what the peer knows -------------------------------------------------------------------------------------------

    def _knows(self, node: int) -> bool:
        """The kernel may have forgotten it meanwhile, and so the peer has been told to."""
        with suppress(OSError, LookupError):
            self._names.introduce(node)
        return node == ROOT or node in self._tree.bound

    def _open(self, folder: int) -> int | None:
        """A folder that the peer knows by then, for reading; the caller closes it. None: it was removed meanwhile."""
        try:
            self._names.introduce(folder)
            return self._names.open(folder, READ_FOLDER)
        except (OSError, LookupError):
            return None

    def _report(self, place: _Place, words: Iterable[str]) -> None:
        try:
            fd = syscalls.open_by_handle(self._tree.root, place.folder, READ_FOLDER)
        except OSError:
            return  # removed with all that was in it
        try:
            path = os.path.join(path_in(self._tree.root, fd), place.name)
        finally:
            os.close(fd)
        self.found.setdefault(path, []).extend(words)


def _bytes_of(question: Record) -> int:
    """How much of the file it is about, in whole blocks."""
    if question.flags & HOLE:
        length: int = LENGTH.unpack(question.payload)[0]
        return length
    return len(question.payload) // DIGEST_BYTES * BLOCK_BYTES
