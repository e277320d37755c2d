"""One tree's resync at the primary: look for candidates, visit folders, compare files, until nothing is left to do.

It is a generator of small steps. Each yields whether it makes sense to go on at once, or whether only an answer of the
peer brings it further.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from mirrord.core.plan import Plan
from mirrord.core.zones import ZoneSet
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import ROOT
from mirrord.volume.journal.journal import Journal
from mirrord.volume.link.records import Kind, Record
from mirrord.volume.resync.candidates import GO_ON, WAIT, Candidates, Put
from mirrord.volume.resync.content import FileComparison
from mirrord.volume.resync.digests import BLOCK_BYTES
from mirrord.volume.resync.listing import Entry, describe, pack_entries
from mirrord.volume.resync.names import READ_FOLDER, Listing, Met, Names
from mirrord.volume.resync.reach import Reach
from mirrord.volume.resync.records import LAST, MORE, OTHER, WHOLE, Outcome
from mirrord.volume.resync.screen import Screen
from mirrord.volume.resync.tally import Tally

WINDOW = 16
"""Questions on their way: enough to keep both ends busy, little enough for memory."""
REBUILDS_MAX = 3
"""A listing is begun anew so often when the folder changes meanwhile; after that it is made in one step."""


class Pass:
    """put: puts a record into the stream after everything that was carried out before."""

    def __init__(self, tree: ServedTree, journal: Journal, put: Put, *, everything: bool, keep: bool) -> None:
        self.tree = tree
        tree.resyncing = True
        self.everything = everything
        self.tally = Tally()
        self._put = put
        self._plan = Plan(ROOT, everything)
        self._names = Names(tree, put)
        self._candidates = Candidates(
            tree, journal, self._plan, self._names, self.tally, put, everything=everything, keep=keep
        )
        self.screen = Screen(tree, self._plan, self._names, self._candidates.leave, self._candidates.walk_again)
        self._parts: deque[tuple[int, dict[int, Met]]] = deque()
        """Of listings, that are not answered, in their order: folder, and what was listed, by its id."""
        self._files: dict[int, FileComparison] = {}
        self._reach = Reach(tree, self._plan, self._names, self._files)
        self._all_names_visited: set[bytes] = set()
        self._folders: set[int] = set()
        self._buffer = memoryview(bytearray(BLOCK_BYTES))
        self._finished = False

    # -- what the resync calls -----------------------------------------------------------------------------------------

    def steps(self) -> Iterator[bool]:
        """All that there is to do by now; `ended` says whether live changes have made more of it meanwhile."""
        if self._plan.walking:
            yield from self._candidates.steps()
            self.everything = self._candidates.everything
            self._plan.walking = False
        yield from self._repair()
        while linked := self.screen.linked:
            nodes = set(linked.values())
            self._all_names_visited.update(linked)
            linked.clear()
            yield from self._candidates.visit_names(nodes)
            yield from self._repair()
        self._finished = False
        self._put(Record(Kind.FINISH, self.tree.number, 0))
        while not self._finished:
            yield WAIT
        yield from self._settle_folders()
        for node in (yield from self._candidates.find_nameless()):
            self._reach.make_known(node)

    def release(self) -> Iterator[bool]:
        """Both sides are equal: the peer need not know what only this resync has told it of."""
        self.tree.resyncing = False
        for node in self.tree.bound - self.tree.nodes.keys():
            self._names.release(node)
            yield GO_ON

    def take(self, record: Record) -> None:
        """An answer of the peer."""
        match record.kind:
            case Kind.CANDIDATES:
                self._candidates.take(record)
            case Kind.LISTED:
                self._take_listed(record)
            case Kind.COMPARED:
                self._take_compared(record)
            case Kind.FINISH:
                self._finished = True

    @property
    def ended(self) -> bool:
        return self._plan.ended and not self._files and not self.screen.linked

    def still(self) -> ZoneSet:
        """The zones that are not equal yet."""
        return self._candidates.still()

    def close(self) -> None:
        self.tree.resyncing = False
        for comparison in self._files.values():
            comparison.close()

    # -- repair --------------------------------------------------------------------------------------------------------

    def _repair(self) -> Iterator[bool]:
        """Where everything is compared, a folder's files follow at once, so that only what is on its way takes memory;
        else all names come first, so that live changes pass as soon as possible."""
        while self._files or not self._plan.ended:
            if self._questions >= WINDOW:
                yield WAIT
            elif self.everything and (found := self._plan.next_file(self._reach.file_blocked_by)):
                yield from self._compare(*found)
            elif (folder := self._plan.next_folder(self._reach.folder_blocked_by)) is not None:
                yield from self._visit(folder)
            elif found := self._plan.next_file(self._reach.file_blocked_by):
                yield from self._compare(*found)
            else:
                yield GO_ON if self._plan.has_untried() else WAIT
            yield from self._send_wanted()

    @property
    def _questions(self) -> int:
        return len(self._parts) + sum(comparison.unanswered for comparison in self._files.values())

    def _visit(self, folder: int) -> Iterator[bool]:
        """Put the folder's listing into the stream; if its names change while that takes several steps, once more."""
        for attempt in range(REBUILDS_MAX + 1):
            try:
                if not self._reach.is_placed(folder):
                    self._plan.postpone(folder)
                    return
                self._names.introduce(folder)
                fd = self._names.open(folder, READ_FOLDER)
            except (OSError, LookupError):
                self._plan.gone(folder)
                return
            self.screen.disturbed.discard(folder)
            flags = WHOLE * self.everything | OTHER * self._plan.is_other(folder)
            listing = Listing(self.tree.number, folder, fd, flags, self._candidates.has_moved)
            try:
                for record in listing.parts():
                    if not self._reach.make_known(folder):
                        self._plan.postpone(folder)
                        return
                    self._ask(record, listing.take_met())
                    if record.flags & LAST:
                        self._plan.listed(folder)
                        self._folders.add(folder)
                    elif attempt < REBUILDS_MAX:
                        yield from self._wait_for_room()
                        if folder in self.screen.disturbed:
                            break
            finally:
                listing.close()
            if folder not in self.screen.disturbed:
                return

    def _wait_for_room(self) -> Iterator[bool]:
        yield GO_ON
        while self._questions >= WINDOW:
            yield WAIT

    def _ask(self, record: Record, met: list[Met]) -> None:
        """Put a part of a listing into the stream."""
        self._put(record)
        self._plan.asked(record.node)
        self._parts.append((record.node, {entry.node: (entry, handle) for entry, handle in met}))
        for entry, handle in met:
            if self.everything or entry.node in self._names.handles:  # of what had this number before, maybe
                self._names.meet(entry.node, handle)

    def _take_listed(self, record: Record) -> None:
        folder, met = self._parts.popleft()
        if record.flags & MORE and self._reach.make_known(folder):
            self._ask(Record(Kind.LISTING, self.tree.number, folder, flags=MORE), [])
        elif record.flags & MORE:
            self._plan.visit(folder)
        outcome = Outcome.unpack(bytes(record.payload))
        for entry, handle in met.values():
            self._plan_content(folder, entry, handle)
        for node in (*outcome.new_folders, *outcome.new_files, *outcome.changed_folders):
            entry, handle = met[node]
            if self._names.handles.setdefault(node, handle) != handle:
                continue  # there is something newer of this number by now
            if entry.is_linked and not self.everything:
                self._visit_all_names(node, handle)
            if entry.is_file:
                self._names.places.setdefault(node, (folder, entry.name))
                self.tally.plan(node, entry.size)
        self._candidates.found_empty(
            [met[node][0] for node in (*outcome.new_folders, *outcome.new_files)],
            lambda: self._plan.answered(folder, outcome.new_folders, outcome.new_files, outcome.changed_folders),
        )

    def _plan_content(self, folder: int, entry: Entry, handle: bytes) -> None:
        """What was made, moved or linked may be another file than the one that has its name at the peer."""
        if entry.is_linked and entry.moved and not self.everything:
            self._visit_all_names(entry.node, handle)
        if self.everything and entry.is_folder:
            self._plan.visit(entry.node)
        elif entry.is_file and entry.size and (self.everything or self._candidates.is_marked(entry.node)):
            if self._names.handles.setdefault(entry.node, handle) != handle:
                return  # there is something newer of this number by now
            self._names.places.setdefault(entry.node, (folder, entry.name))
            self.tally.plan(entry.node, entry.size)
            self._plan.compare(entry.node)

    def _visit_all_names(self, node: int, handle: bytes) -> None:
        if handle not in self._all_names_visited:
            self.screen.linked[handle] = node

    # -- content -------------------------------------------------------------------------------------------------------

    def _compare(self, node: int, chunks: set[int] | None) -> Iterator[bool]:
        try:
            fd = self._names.open_file(node)
        except (OSError, LookupError):
            self._gone(node)
            return
        if fd is None:
            self._candidates.finished(node)
            self.tally.finish(node)
            return
        if not self._reach.make_known(node):
            exists = os.fstat(fd).st_nlink > 0
            os.close(fd)
            if exists and (yield from self._candidates.find({node})):
                self._plan.compare(node, chunks)
                yield GO_ON
            else:
                self._gone(node)
            return
        comparison = FileComparison(self.tree.number, node, fd, chunks, self._buffer)
        self._files[node] = comparison
        if not self.everything or node in self.screen.changed:  # else the listing has said it
            self.screen.changed.discard(node)
            self._put_attributes(node, fd)
        for record in comparison.questions():
            if record is None:
                yield WAIT
            elif not comparison.exists or not self._reach.make_known(node):
                comparison.give_up(asked=False)
                break
            else:
                self._put(record)
                yield GO_ON
            while self._questions >= WINDOW:
                yield WAIT
                yield from self._send_wanted()
            if comparison.lost:
                break  # given up meanwhile, and closed maybe
        comparison.asked_all = True
        self._conclude(comparison)

    def _take_compared(self, record: Record) -> None:
        comparison = self._files.get(record.node)
        if comparison is not None:
            self.tally.deal(record.node, comparison.answered(record))
            self._conclude(comparison)

    def _send_wanted(self) -> Iterator[bool]:
        for comparison in list(self._files.values()):
            for record in comparison.sendings():
                if not comparison.exists or not self._reach.make_known(comparison.node):
                    comparison.give_up()
                    break
                self._put(record)
                self.tally.deal(comparison.node, len(record.payload))
                yield GO_ON
            self._conclude(comparison)

    def _conclude(self, comparison: FileComparison) -> None:
        if not comparison.ended or self._files.get(comparison.node) is not comparison:
            return
        node = comparison.node
        del self._files[node]
        self._plan.free(node)
        exists, linked, again = comparison.exists, comparison.linked, comparison.lost
        if exists and comparison.repaired and not again:
            again = not self._reach.make_known(node)
            if not again:
                self._put_attributes(node, comparison.fd)
        comparison.close()
        if exists and again:
            self._plan.compare(node)
        elif not self._plan.has_file(node):
            self._gone(node, forget=not linked)

    def _gone(self, node: int, *, forget: bool = True) -> None:
        """Not `forget`: other names of it may be listed yet, and the peer has to know whose they are."""
        self.tally.finish(node)
        self._candidates.finished(node)
        if forget:
            with suppress(KeyError):
                self._all_names_visited.discard(self._names.handle(node))
            self._names.dismiss(node)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _settle_folders(self) -> Iterator[bool]:
        """Folders' own attributes and times, which every repair inside them has changed."""
        self._folders.add(ROOT)
        for folder in sorted(self._folders):
            try:
                fd = self._names.open(folder, READ_FOLDER)
            except (OSError, KeyError):
                continue  # it was removed meanwhile
            if os.fstat(fd).st_nlink > 0 and self._reach.make_known(folder):
                self._put_attributes(folder, fd)
            os.close(fd)
            yield GO_ON

    def _put_attributes(self, node: int, fd: int) -> None:
        payload = pack_entries([describe(fd, node=node)])
        self._put(Record(Kind.ATTRIBUTES, self.tree.number, node, payload=payload))
