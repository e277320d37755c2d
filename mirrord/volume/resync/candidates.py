"""What may differ in one tree, and therefore has to be compared: both journals' zones, made into folders and files.

A journal knows inode numbers, and only on its own node. So each node walks through its own tree for the inodes of its
zones, the peer tells paths, and here they become one plan.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Generator, Iterator

from mirrord.core.plan import Plan
from mirrord.core.zones import CHUNK_BYTES, MOVED_AT, Index, ZoneSet, group_of, of_range, zone
from mirrord.volume.files import syscalls
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.syscalls import Attributes
from mirrord.volume.files.tree import ROOT
from mirrord.volume.journal.journal import Journal
from mirrord.volume.journal.moved import Notes
from mirrord.volume.link.records import Kind, Record
from mirrord.volume.resync.listing import Entry
from mirrord.volume.resync.names import READ_FOLDER, Names
from mirrord.volume.resync.records import KEEP, LAST, Candidate, unpack_candidates
from mirrord.volume.resync.tally import Tally
from mirrord.volume.resync.walk import Found, walk

GO_ON, WAIT = True, False
_NOTES_EACH = 100

Put = Callable[[Record], object]


class Candidates:
    """One tree's, at the primary."""

    def __init__(
        self, tree: ServedTree, journal: Journal, plan: Plan, names: Names, tally: Tally, put: Put, *,
        everything: bool, keep: bool,
    ) -> None:  # fmt: skip
        self.everything = everything
        """Known to the end of `steps`: whatever was asked for, it may be that the journals cannot tell."""
        self._tree = tree
        self._journal = journal
        self._plan = plan
        self._names = names
        self._tally = tally
        self._put = put
        self._keep = keep
        self._marks = journal.marks[tree.number]
        self._zones = self._marks.durable.copy()
        self._live = ZoneSet()
        """Of changes that the peer could not be told of."""
        self._peers: list[Candidate] = []
        self._answered = False
        self._again: list[int] = []
        self._unfinished: set[int] = set()
        """Inodes that are not equal yet."""

    def steps(self) -> Iterator[bool]:
        """Ask, walk, and put everything into the plan."""
        base = b"" if self.everything or self._zones.everything else self._journal.base
        self._put(Record(Kind.CANDIDATES, self._tree.number, 0, flags=KEEP * self._keep, payload=base))
        while not self._answered:
            yield WAIT
        if self.everything:
            self._plan.everything = True
            self._plan.visit(ROOT)
            return
        index = Index(self._zones)
        yield from self._walk(self._tree.root, index)
        while self._again:
            yield from self._walk_below(self._again.pop(), index)
        for candidate in self._peers:
            self._add_peers(candidate)
            yield GO_ON
        self._peers.clear()
        yield from self._send_hints()

    def take(self, record: Record) -> None:
        """The peer's answer. If it does not believe its journal, or counts from another moment, all is to be done."""
        self.everything = self.everything or bool(record.flags & KEEP)
        self._peers += unpack_candidates(bytes(record.payload))
        self._answered = bool(record.flags & LAST)

    def walk_again(self, inode: int) -> None:
        """This folder was moved, maybe from where nobody has walked yet to where the walk has been already."""
        self._again.append(inode)

    def is_marked(self, node: int) -> bool:
        """Whether anything but content of this inode, or of its neighbours, was changed."""
        return self._is_in(zone(node))

    def has_moved(self, entry: Entry) -> bool:
        """Whether this thing may have got its name since both sides were equal. Of a file that has no other name that
        does not matter."""
        if entry.is_folder:
            return self._is_in(zone(entry.node, MOVED_AT))
        return entry.is_linked and self.is_marked(entry.node)

    def leave(self, inode: int, offset: int, length: int) -> None:
        """A change that the peer could not be told of, and that has to be compared."""
        for at in of_range(inode, offset, length):
            self._live.add(at)

    def _is_in(self, at: int) -> bool:
        return at in self._zones or at in self._marks.durable

    def found_empty(self, entries: list[Entry], then: Callable[[], None]) -> None:
        """The peer has these, and they are empty there: that they are not equal is in our journal before `then` is
        called, and before the peer is given anything that would make them look like equal ones after a crash."""
        wanted = [at for entry in entries for at in of_range(entry.node, 0, entry.size)]
        if self.everything or not wanted:
            then()
            return
        for entry in entries:
            self._unfinished.add(entry.node)
        for at in wanted:
            self._zones.add(at)
        self._journal.mark(self._tree.number, wanted, then, patient=True)

    def find(self, nodes: set[int]) -> Generator[bool, None, set[int]]:
        """Look through the whole tree for what has lost the names by which we knew it; which of these have others."""
        found_there: set[int] = set()
        for found in walk(self._tree.root, nodes.__contains__) if nodes else ():
            if found is None:
                yield GO_ON
            elif not found.is_folder:
                self._names.places[found.inode] = self._meet_folder(found), found.name
                found_there.add(found.inode)
            if found_there == nodes:
                break
        return found_there

    def find_nameless(self) -> Generator[bool, None, set[int]]:
        """The same for what the peer does not know and has lost its known names already: the next change of such a file
        must not have to look for it."""
        tree = self._tree
        unknown = tree.nodes.keys() - tree.bound
        nameless = {node for node in unknown if tree.nodes[node].parent is None and not tree.is_orphan(node)}
        return (yield from self.find(nameless))

    def visit_names(self, nodes: set[int]) -> Iterator[bool]:
        """Every folder in which one of these has a name is to be visited: only listings tell which names are one
        file's. What was compared before may have been another file of the peer's."""
        for found in walk(self._tree.root, nodes.__contains__):
            if found is None:
                yield GO_ON
            elif not found.is_folder:
                self._plan.visit(self._meet_folder(found))
                if found.is_file:
                    self._plan.compare(found.inode)

    def finished(self, node: int) -> None:
        """A file is equal, and stays so."""
        self._unfinished.discard(node)

    def still(self) -> ZoneSet:
        """The zones that are not equal yet. Where a folder is among the inodes, to the end: its times come last."""
        if self.everything or self._plan.walking:
            return self._zones
        unfinished = {group_of(zone(inode)) for inode in self._unfinished}
        still = self._live.copy()
        still.update(
            ZoneSet(
                single={at for at in self._zones.single if group_of(at) in unfinished},
                groups=self._zones.groups & unfinished,
            )
        )
        return still

    # -- ours ----------------------------------------------------------------------------------------------------------

    def _walk_below(self, inode: int, index: Index) -> Iterator[bool]:
        try:
            fd = self._names.open(inode, READ_FOLDER)
        except (OSError, KeyError):
            return
        try:
            yield from self._walk(fd, index)
        finally:
            os.close(fd)

    def _walk(self, fd: int, index: Index) -> Iterator[bool]:
        for found in walk(fd, index.__contains__):
            if found is None:
                yield GO_ON
            elif found.folder or fd == self._tree.root:
                self._add(found, index)

    def _add(self, found: Found, index: Index) -> None:
        if not found.folder:
            self._unfinished.add(found.inode)
            self._plan.visit(ROOT)
            return
        try:
            self._names.meet(found.inode, syscalls.handle_of(found.folder_fd, found.name))
            status = syscalls.statx(found.folder_fd, found.name)
        except OSError:
            return  # moved or removed since: the plan was told
        self._unfinished.add(found.inode)
        folder = self._meet_folder(found)
        if found.is_folder:
            self._plan.visit(found.inode)
        elif found.is_file:
            self._names.places[found.inode] = folder, found.name
            self._plan_file(found.inode, status.size, index.chunks(found.inode, status.size))
        if self._keep or not (found.is_folder or (found.is_file and status.nlink == 1)):
            # What a link or device is, and which names are one file's, only listings tell; and before a file is
            # compared there must be one that says how it is called there, if it is to be kept.
            self._plan.visit(folder)

    def _plan_file(self, node: int, size: int, chunks: Collection[int] | None) -> None:
        self._tally.plan(node, size if chunks is None else min(size, len(chunks) * CHUNK_BYTES))
        self._plan.compare(node, chunks)

    def _meet_folder(self, found: Found) -> int:
        if found.folder == self._tree.root_inode:
            return ROOT
        self._names.meet(found.folder, found.folder_handle)
        return found.folder

    # -- the peer's ----------------------------------------------------------------------------------------------------

    def _add_peers(self, candidate: Candidate) -> None:
        """At our path of the same name; where we have no such thing, all that is above it is visited in any case."""
        above = ROOT
        for name in filter(None, candidate.path.split(b"/")):
            self._plan.visit(above)
            found = self._enter(above, name)
            if found is None:
                return
            if not stat.S_ISDIR(found.mode):
                if stat.S_ISREG(found.mode):
                    self._names.places.setdefault(found.ino, (above, name))
                    self._plan_file(found.ino, found.size, candidate.chunks)
                return
            above = found.ino
        if candidate.folder:
            self._plan.visit(above)

    def _enter(self, folder: int, name: bytes) -> Attributes | None:
        try:
            fd = self._names.open(folder, READ_FOLDER)
        except OSError:
            return None
        try:
            found = syscalls.statx(fd, name)
            self._names.meet(found.ino, syscalls.handle_of(fd, name))
        except OSError:
            return None
        finally:
            os.close(fd)
        return found

    def _send_hints(self) -> Iterator[bool]:
        notes = list(self._journal.notes(self._tree.number).paths.items())
        for start in range(0, len(notes), _NOTES_EACH):
            part = Notes(dict(notes[start : start + _NOTES_EACH]))
            self._put(Record(Kind.HINTS, self._tree.number, 0, payload=part.pack()))
            yield GO_ON
