"""What a walk would miss, since it was moved from where the walk had not been yet to where it had been already.

Whatever was there when the walk began is in a folder that the walk comes to, unless somebody moves it or gives it
another name. So it is enough to look at the moves: out of a folder that the walk has not left yet, into one that it has
entered. What is missed is looked at when the walk is over. That ends, however much is moved: then there is no folder
left to which the walk has not come, but those made since, in which nothing is that both nodes did not get by the same
changes.
"""

from __future__ import annotations

from typing import NamedTuple

from mirrord.volume.files import syscalls
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import DIRECTORY
from mirrord.volume.link.records import Kind, Record

MOVES = frozenset((Kind.MAKE, Kind.LINK, Kind.RENAME))
"""The kinds of changes that matter here."""


class Missed(NamedTuple):
    """Where it was moved to."""

    folder: int
    folder_handle: bytes
    name: bytes


class Moves:
    """Those in one tree during one walk."""

    def __init__(self, tree: ServedTree) -> None:
        self._tree = tree
        self._left: dict[int, bool] = {}
        """Folder that the walk has entered, or need not enter -> whether it has left it."""
        self._missed: dict[int, Missed] = {}
        """By inode number, so that what is moved on is looked for where it is."""

    def enter(self, folder: int) -> None:
        self._left[folder] = False

    def leave(self, folder: int) -> None:
        self._left[folder] = True

    def has_entered(self, folder: int) -> bool:
        return folder in self._left

    def take_missed(self) -> Missed | None:
        """One of those that the walk has missed; None: it has not."""
        return self._missed.pop(next(iter(self._missed))) if self._missed else None

    def sees(self, record: Record) -> None:
        """A change that was carried out."""
        match record.kind:
            case Kind.MAKE if self._tree.node(record.offset).kind == DIRECTORY:
                self._left[record.offset] = True
            case Kind.RENAME:
                old, _, new = bytes(record.payload).partition(b"\0")
                self._moved([record.node], record.offset, new)
                self._moved([record.offset], record.node, old)  # if they were exchanged
            case Kind.LINK:
                places = self._tree.places(self._tree.node(record.node))
                self._moved([folder.id for folder, _ in places], record.offset, bytes(record.payload))

    def _moved(self, sources: list[int], folder: int, name: bytes) -> None:
        """Something has this name now, and came from one of these folders."""
        passed = folder in self._left and not all(self._left.get(source) for source in sources)
        if not (passed or self._missed):
            return
        descriptor = self._tree.descriptor(folder)
        try:
            node = syscalls.statx(descriptor, name).ino
        except FileNotFoundError:
            return
        if passed or node in self._missed:
            self._missed[node] = Missed(folder, self._tree.node(folder).handle, name)
