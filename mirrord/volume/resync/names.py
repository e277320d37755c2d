"""How the primary introduces an object to the peer that the kernel has not looked up, and lists a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

from mirrord.volume.files import syscalls
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import DIRECTORY, ROOT
from mirrord.volume.link.records import Kind, Record
from mirrord.volume.resync.listing import Entry, pack_entries, read_entry
from mirrord.volume.resync.records import FIRST, LAST
from mirrord.volume.resync.repair import path_in

READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOATIME
PART_ENTRIES = 32
"""Of one LISTING: about 1 ms at each end, and several where the peer has to make all of them."""

PART_BYTES = 1 << 19
"""Of extended attributes in one LISTING: they alone could make it longer than any record may be."""

Met = tuple[Entry, bytes]
"""An entry of a listing, and its handle."""


class Names:
    """What a resync has met in one tree: handles, and where files were."""

    def __init__(self, tree: ServedTree, put: Callable[[Record], object]) -> None:
        """put: puts a record into the stream. What counts as known to the peer was put, whatever fails afterwards."""
        self._tree = tree
        self._put = put
        self._root_handle = syscalls.handle_of(tree.root)
        self.handles: dict[int, bytes] = {}
        """Node id -> handle, of what is still to be dealt with."""
        self.places: dict[int, tuple[int, bytes]] = {}
        """File -> folder and name at which the walk found it."""
        self._introduced: set[int] = set()

    def open(self, node: int, flags: int) -> int:
        """A descriptor, the caller's to close. Raises OSError, or KeyError for what was never met."""
        return syscalls.open_by_handle(self._tree.root, self.handle(node), flags | os.O_CLOEXEC)

    def open_file(self, node: int) -> int | None:
        """The same, for reading; None: the number is another object's by now. That one is never opened: a pipe's end
        waits for the other one, and opening a device may do anything. Raises what `open` does."""
        found = self.open(node, os.O_PATH | os.O_NOFOLLOW)
        try:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                return None
            return os.open(b"/proc/self/fd/%d" % found, os.O_RDONLY | os.O_NOATIME | os.O_CLOEXEC)
        finally:
            os.close(found)

    def handle(self, node: int) -> bytes:
        """Raises KeyError for what was never met."""
        if node == ROOT:
            return self._root_handle
        known = self._tree.nodes.get(node)
        return known.handle if known is not None else self.handles[node]

    def meet(self, node: int, handle: bytes) -> None:
        """This is what the number means. Where another object of this number was, says nothing about this one."""
        if self.handles.get(node) != handle:
            self.handles[node] = handle
            self.places.pop(node, None)

    def introduce(self, node: int) -> None:
        """After this the peer knows the object. Raises LookupError or OSError if we cannot say where it is."""
        if node == ROOT or node in self._tree.bound:
            return
        if self._tree.is_orphan(node):
            raise LookupError(f"node {node} has no name")
        known = self._tree.nodes.get(node)
        if node in self.places and (known is None or known.parent is None):
            with suppress(OSError, LookupError):
                folder, name = self.places[node]
                self._introduce_folder(folder)
                self._bind(folder, name, node)
                return
            del self.places[node]  # of a file that had this number before
        self._introduce_folder(node)

    def above(self, node: int) -> list[int]:
        """The folders in which an object is, from the next one to the root. Raises OSError or LookupError."""
        known = self._tree.nodes.get(node)
        if node in self.places and (known is None or known.parent is None):
            folder = self.places[node][0]
            if folder in self._tree.nodes and self._tree.nodes[folder].kind != DIRECTORY:
                raise LookupError(f"the folder of node {node} is gone, and a file has its number")
            return [folder, *self._above_folder(folder)]
        return self._above_folder(node)

    def _above_folder(self, node: int) -> list[int]:
        known = self._tree.nodes.get(node)
        if known is not None and known.parent is not None:
            return [known.parent.id, *self._above_folder(known.parent.id)]
        if node == ROOT:
            return []
        return [folder for folder, _, _ in self._way(node)][::-1]

    def dismiss(self, node: int) -> None:
        """What this resync has introduced needs to be known no longer, unless the kernel has looked it up since."""
        self.handles.pop(node, None)
        self.places.pop(node, None)
        if node not in self._introduced:
            return
        self._introduced.discard(node)
        self.release(node)

    def release(self, node: int) -> None:
        """The peer may forget what the kernel does not know."""
        if node not in self._tree.nodes and node in self._tree.bound:
            self._tree.bound.discard(node)
            self._put(Record(Kind.FORGET, self._tree.number, node))

    def _introduce_folder(self, node: int) -> None:
        """A folder is found by its handle; of something else, what the kernel knows about it."""
        known = self._tree.nodes.get(node)
        if node == ROOT or node in self._tree.bound:
            return
        if known is not None and known.parent is not None:
            for record in self._tree.bindings(node):
                self._put(record)
            return
        way = list(self._way(node))  # of what was removed there is none, and then nothing on it may be told
        inner = ROOT
        for folder, name, inner in way:
            if inner not in self._tree.bound:
                self._bind(folder, name, inner)
        if inner != node:
            raise LookupError(f"folder {node} has moved")

    def _way(self, node: int) -> Iterator[tuple[int, bytes, int]]:
        """From the root to a folder, as the kernel says that it is at present: folder, name in it, the folder there."""
        fd = self.open(node, READ_FOLDER)
        try:
            path = path_in(self._tree.root, fd)
        finally:
            os.close(fd)
        folder = ROOT
        for name in path.split(b"/"):
            folder_fd = self.open(folder, READ_FOLDER)
            try:
                inner = syscalls.statx(folder_fd, name).ino
                self.meet(inner, syscalls.handle_of(folder_fd, name))
            finally:
                os.close(folder_fd)
            yield folder, name, inner
            folder = inner

    def _bind(self, folder: int, name: bytes, node: int) -> None:
        fd = self.open(folder, READ_FOLDER)
        try:
            if syscalls.statx(fd, name).ino != node:
                raise LookupError(f"node {node} is elsewhere now")
        finally:
            os.close(fd)
        self._tree.bound.add(node)
        self._introduced.add(node)
        self._put(Record(Kind.BIND, self._tree.number, folder, node, 0, name))


class Listing:
    """One folder's, put into the stream part by part, each as it is when it is taken."""

    def __init__(
        self, tree: int, folder: int, fd: int, flags: int, moved: Callable[[Entry], bool] = lambda _: False
    ) -> None:
        """fd is this listing's to close. flags: LOOK, WHOLE, OTHER, if at all. moved: whether a thing may have come
        from elsewhere since both sides were equal."""
        self.folder = folder
        self._met: list[Met] = []
        self._tree = tree
        self._fd = fd
        self._flags = flags
        self._moved = moved

    def close(self) -> None:
        os.close(self._fd)

    def take_met(self) -> list[Met]:
        """What the last part was about, but for what has no content and no second name."""
        met, self._met = self._met, []
        return met

    def parts(self) -> Iterator[Record]:
        """The records, each of which reads as much of the folder as it takes; the folder's names must not change
        between the first and the last, or it is to begin anew."""
        flags = FIRST | self._flags
        with os.scandir(self._fd) as found:
            names = (os.fsencode(each.name) for each in found)
            following = next(names, None)
            while not flags & LAST:
                entries: list[Entry] = []
                left_bytes = PART_BYTES
                while following is not None and len(entries) < PART_ENTRIES and left_bytes > 0:
                    if entry := self._entry(following):
                        entries.append(entry)
                        left_bytes -= sum(len(value) for _, value in entry.xattrs)
                    following = next(names, None)
                if following is None:
                    flags |= LAST
                yield Record(Kind.LISTING, self._tree, self.folder, 0, flags, pack_entries(entries))
                flags &= ~FIRST

    def _entry(self, name: bytes) -> Entry | None:
        try:
            entry = read_entry(self._fd, name)
            if self._moved(entry):
                entry = replace(entry, moved=True)
            if entry.is_file or entry.is_folder or entry.is_linked:
                self._met.append((entry, syscalls.handle_of(self._fd, name)))
        except FileNotFoundError:
            return None
        return entry
