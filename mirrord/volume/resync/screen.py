"""Which live changes the peer can carry out while it is being brought up to date, and what becomes of the others.

A change that the peer could not carry out, since it does not have the folder or file yet or has another one in its
place, is not sent: what it concerns is put into the plan (again), and the resync finds it as it is then.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

from mirrord.core.plan import Plan
from mirrord.core.zones import CHUNK_BITS, MOVED_AT, RANGE_ZONES_MAX
from mirrord.volume.files import syscalls
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import DIRECTORY, FILE, ROOT, Node
from mirrord.volume.link.records import LENGTH, Kind, Record
from mirrord.volume.resync.names import Names


class Screen:
    """One tree's. `walk_again`: told of a folder that was moved while candidates were being looked for.

    The kernel may forget what is left to the plan: where it is is noted here.
    """

    def __init__(
        self, tree: ServedTree, plan: Plan, names: Names, left: Callable[[int, int, int], None],
        walk_again: Callable[[int], None],
    ) -> None:  # fmt: skip
        """left: told of an inode, offset and length that are left to the plan."""
        self.linked: dict[bytes, int] = {}
        """Handle and node of what got another name, or is no file and was changed, without the peer being told: all its
        names are to be listed."""
        self.disturbed: set[int] = set()
        """Folders whose names changed without the peer being told."""
        self.changed: set[int] = set()
        """Files that did."""
        self._tree = tree
        self._plan = plan
        self._names = names
        self._left = left
        self._walk_again = walk_again

    def passes(self, record: Record) -> bool:
        """Whether the record can be sent. It was carried out here already, unless it is a WRITE."""
        if self._can_be_sent(record):
            if record.kind == Kind.MAKE and self._tree.node(record.offset).kind == DIRECTORY:
                self._plan.made(record.offset)
            elif record.kind == Kind.RENAME:
                self._visit_maybe_new(record)
            return True
        self._leave_to_the_plan(record)
        return False

    def knows(self, node: int) -> bool:
        """Whether the peer knows the object, or finds it."""
        if node == ROOT or node in self._tree.bound:
            return True
        known = self._tree.nodes.get(node)
        return known is not None and known.parent is not None and self._plan.is_settled(_above(known))

    def _can_be_sent(self, record: Record) -> bool:
        match record.kind:
            case Kind.MAKE | Kind.UNLINK | Kind.RMDIR:
                return self._names_are_sent(record.node)
            case Kind.RENAME if record.node != record.offset:
                # A folder cannot be moved into one that the peer has inside of it yet: both must be in their places.
                return all(self._names_are_sent(folder, placed=True) for folder in (record.node, record.offset))
            case Kind.RENAME:
                return self._names_are_sent(record.node)
            case Kind.LINK:
                return self._names_are_sent(record.offset) and self.knows(record.node)
            case Kind.BIND | Kind.FORGET:
                return True
            case _:
                return self.knows(record.node)

    def _names_are_sent(self, folder: int, *, placed: bool = False) -> bool:
        """placed: only if the peer has the folder where we have it."""
        known = self._tree.nodes.get(folder)
        if known is None:
            return False
        bound = not placed and (folder == ROOT or folder in self._tree.bound)
        return self._plan.names_are_sent(folder, _above(known), bound=bound)

    def _visit_maybe_new(self, record: Record) -> None:
        """What was moved out of a folder whose listing is not answered may be a new folder at the peer."""
        old, _, new = bytes(record.payload).partition(b"\0")
        for source, folder, name in ((record.node, record.offset, new), (record.offset, record.node, old)):
            if source != folder and not self._plan.is_settled((source,)):
                with suppress(FileNotFoundError):  # nothing came back, unless they were exchanged
                    found = syscalls.statx(self._tree.descriptor(folder), name)
                    if stat.S_ISDIR(found.mode):
                        self._names.meet(found.ino, syscalls.handle_of(self._tree.descriptor(folder), name))
                        self._plan.visit(found.ino)

    def _leave_to_the_plan(self, record: Record) -> None:
        match record.kind:
            case Kind.MAKE:
                self._tree.bound.discard(record.offset)  # the capture took it for sent
                self._visit(record.node)
                self._compare_whole(record.offset)
            case Kind.UNLINK | Kind.RMDIR:
                self._visit(record.node)
            case Kind.LINK:
                self._visit(record.offset)
                self._compare_whole(record.node)
                self.linked[self._tree.node(record.node).handle] = record.node
            case Kind.RENAME:
                self._leave_rename(record)
            case Kind.WRITE:
                self._compare(record.node, record.offset, len(record.payload))
            case Kind.TRUNCATE:
                self._compare(record.node, record.offset, 1)
            case Kind.ALLOCATE:
                self._compare(record.node, record.offset, LENGTH.unpack(record.payload)[0])
            case _:
                self._compare(record.node, 0, 0)

    def _leave_rename(self, record: Record) -> None:
        old, _, new = bytes(record.payload).partition(b"\0")
        for folder, name in ((record.node, old), (record.offset, new)):
            self._visit(folder)
            try:
                found = syscalls.statx(self._tree.descriptor(folder), name)
                handle = syscalls.handle_of(self._tree.descriptor(folder), name)
            except OSError:
                continue  # the old name, unless they were exchanged
            self._names.meet(found.ino, handle)
            if stat.S_ISDIR(found.mode):
                self._left(found.ino, MOVED_AT, 0)
                self._visit(found.ino)
                if self._plan.walking:
                    self._walk_again(found.ino)
            elif stat.S_ISREG(found.mode):
                self._names.places[found.ino] = folder, name
                self.changed.add(found.ino)
                self._left(found.ino, 0, found.size)
                self._plan.compare(found.ino)

    def _visit(self, folder: int) -> None:
        known = self._tree.nodes.get(folder)
        if known is not None:
            self._names.meet(folder, known.handle)
        self._left(self._tree.inode(folder), 0, 0)
        self.disturbed.add(folder)
        self._plan.visit(folder)

    def _compare_whole(self, node: int) -> None:
        known = self._tree.nodes.get(node)
        if known is None:
            return
        if known.kind == DIRECTORY:
            self._visit(node)
        elif known.kind == FILE:
            self._meet(known)
            self.changed.add(node)
            self._left(node, 0, self._tree.attributes(node).size)
            self._plan.compare(node)

    def _meet(self, file: Node) -> None:
        self._names.meet(file.id, file.handle)
        if file.parent is not None:
            self._names.places[file.id] = file.parent.id, file.name

    def _compare(self, node: int, offset: int, length: int) -> None:
        known = self._tree.nodes.get(node)
        if known is None or self._tree.is_orphan(node):
            return
        if known.kind == FILE:
            first, last = offset >> CHUNK_BITS, offset + max(length, 1) - 1 >> CHUNK_BITS
            few = last - first < RANGE_ZONES_MAX
            self._meet(known)
            self.changed.add(node)
            self._left(node, offset, length)
            self._plan.compare(node, (range(first, last + 1) if length else ()) if few else None)
        elif known.kind == DIRECTORY:
            self._visit(node)
        else:  # a link or device has no record but its entry, and of several names this one may be about to go
            if known.parent is not None:
                self._visit(known.parent.id)
            if self._tree.attributes(node).nlink > 1:
                self.linked[known.handle] = node


def _above(node: Node) -> Iterator[int]:
    """The folders in which a node is, up to the root."""
    at = node.parent
    while at is not None:
        yield at.id
        at = at.parent
