"""A replicated directory as both nodes see it: node ids, and the objects behind them by file handle.

A node id is the FUSE node id of an inode on the primary: 1 for the root, else its inode number there. Behind it stands
the handle (open_by_handle_at(2)) of the object on this node, so that no path has to be right and no descriptor is
kept for each object; a bounded number of descriptors is kept open.
"""

from __future__ import annotations

import errno
import os
import resource
import stat

from mirrord.volume.files import syscalls
from mirrord.volume.files.freeing import Freeing
from mirrord.volume.files.syscalls import Attributes

ROOT = 1

FILE = stat.S_IFREG >> 12
DIRECTORY = stat.S_IFDIR >> 12

DESCRIPTORS_MAX = 4096

RESERVED_DESCRIPTORS = 128
"""Of the process's limit (RLIMIT_NOFILE), for the journal, links, walks and threads, which must not go without."""

_FLAGS = {
    FILE: os.O_RDWR | os.O_NOATIME | os.O_NOFOLLOW,
    DIRECTORY: os.O_RDONLY | os.O_DIRECTORY | os.O_NOATIME,
}
_REFERENCE = os.O_PATH | os.O_NOFOLLOW


class Node:
    """An object that somebody may mention."""

    __slots__ = ("handle", "id", "kind", "name", "parent", "references")

    def __init__(self, node: int, handle: bytes, kind: int) -> None:
        self.id = node
        self.handle = handle
        self.kind = kind
        """The type bits of its mode, shifted: FILE, DIRECTORY, or another."""
        self.references = 0
        """How often the kernel has looked it up, and how many known names are in it."""
        self.parent: Node | None = None
        """Where it has the name, if that is known here; further names are in `ServedTree.aliases`."""
        self.name = b""


class UnknownNode(LookupError):  # noqa: N818 - it says what the id is
    """A node id that was not bound here."""


class Tree:
    """One replicated directory of this node. Not safe between threads: it belongs to the loop.

    number: its place in the configuration. root: a descriptor of the directory, on the mount by which it is reached;
        it is this tree's to close. trees: how many share the process's descriptors.
    """

    def __init__(self, number: int, root: int, *, trees: int = 1, descriptors_max: int = DESCRIPTORS_MAX) -> None:
        self.number = number
        self.root = root
        self.freeing = Freeing()
        self.nodes: dict[int, Node] = {ROOT: Node(ROOT, syscalls.handle_of(root), DIRECTORY)}
        self.nodes[ROOT].references = 1
        # Opened anew, not duplicated: duplicates share the position from which a folder is read.
        self._descriptors: dict[int, int] = {ROOT: os.open(b".", _FLAGS[DIRECTORY], dir_fd=root)}
        self._kept: dict[int, int] = {}
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        share = max(limit - RESERVED_DESCRIPTORS, limit // 2) // trees
        self._descriptors_max = min(descriptors_max, share // 4)
        self._kept_max = share - self._descriptors_max

    def close(self) -> None:
        """Let go of every descriptor and node; none is known any more."""
        for descriptor in (*self._descriptors.values(), *self._kept.values(), self.root):
            self.freeing.close(descriptor)
        self.freeing.shut_down()
        self._descriptors.clear()
        self._kept.clear()
        self.nodes.clear()  # now: who has had the tree may be part of a cycle, and wait for garbage collection

    # -- ids -------------------------------------------------------------------------------------------------------

    def node(self, node: int) -> Node:
        """Raises UnknownNode."""
        try:
            return self.nodes[node]
        except KeyError:
            raise UnknownNode(f"node {node} of tree {self.number}") from None

    def bind(self, folder: int, name: bytes, node: int) -> Attributes:
        """The object of this name is called `node` from here on. Raises OSError if there is none."""
        descriptor = self.descriptor(folder)
        found = syscalls.statx(descriptor, name)
        self.adopt(node, syscalls.handle_of(descriptor, name), found.mode >> 12)
        return found

    def adopt(self, node: int, handle: bytes, kind: int) -> Node:
        """The object of this handle is called `node` from here on, whatever was called so before."""
        if node in self.nodes:
            self.drop(node)
        adopted = self.nodes[node] = Node(node, handle, kind)
        adopted.references = 1
        return adopted

    def drop(self, node: int) -> None:
        """Free what is known of a node, if anything is."""
        self.nodes.pop(node, None)
        self.release(node)

    # -- descriptors -----------------------------------------------------------------------------------------------

    def descriptor(self, node: int) -> int:
        """An open descriptor: of a file for reading and writing, of a directory for reading, else O_PATH.

        It is the tree's, and stays open until the next `trim`; a thread that needs one longer duplicates it.
        Raises UnknownNode, or OSError.
        """
        descriptor = self._descriptors.get(node)
        if descriptor is None:
            descriptor = self._kept.get(node)
            if descriptor is None:
                descriptor = self._descriptors[node] = self.open(node)
        return descriptor

    def open(self, node: int) -> int:
        """A descriptor as `descriptor` describes it, that is the caller's to close."""
        known = self.node(node)
        flags = _FLAGS.get(known.kind, _REFERENCE)
        try:
            return syscalls.open_by_handle(self.root, known.handle, flags)
        except PermissionError:  # chattr +i or +a: reading is still right
            return syscalls.open_by_handle(self.root, known.handle, flags & ~os.O_ACCMODE)

    def path(self, node: int) -> bytes:
        """A path for system calls that take no descriptor; valid as long as `descriptor`'s."""
        return b"/proc/self/fd/%d" % self.descriptor(node)

    def trim(self) -> None:
        """Close the descriptors opened first, if there are too many. Not between a `descriptor` and its use."""
        while len(self._descriptors) > self._descriptors_max:
            oldest = next(iter(self._descriptors))
            self.freeing.close(self._descriptors.pop(oldest))

    def prepare_to_keep(self, node: int) -> None:
        """Before the object loses its last name. Raises OSError (EMFILE) if too many without one are held already."""
        self._require_place()
        self.descriptor(node)

    def keep(self, node: int) -> None:
        """The object is about to lose its last name: hold it by a descriptor until `drop`."""
        descriptor = self.descriptor(node)
        self._descriptors.pop(node, None)
        self._kept[node] = descriptor

    def keep_open(self, node: int, descriptor: int) -> None:
        """Hold a node that has no name by this descriptor until `drop`. Raises OSError (EMFILE), and closes it."""
        try:
            self._require_place()
        except OSError:
            os.close(descriptor)
            raise
        self._kept[node] = descriptor

    def _require_place(self) -> None:
        if len(self._kept) >= self._kept_max:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def unkeep(self, node: int) -> None:
        """The object has got a name."""
        self._descriptors[node] = self._kept.pop(node)

    def is_orphan(self, node: int) -> bool:
        """Has it no name, so that nobody could find it after a failover?"""
        return node in self._kept

    def release(self, node: int) -> None:
        """Close this node's descriptor, if there is one."""
        for descriptors in (self._descriptors, self._kept):
            descriptor = descriptors.pop(node, None)
            if descriptor is not None:
                self.freeing.close(descriptor)

    # -- contents and attributes -----------------------------------------------------------------------------------

    def write(self, node: int, content: memoryview, offset: int) -> None:
        """All of it, or OSError."""
        descriptor = self.descriptor(node)
        try:
            written = os.pwrite(descriptor, content, offset)
        except OSError:
            written = 0
        if written < len(content):
            self.freeing.with_room(lambda: _write_all(descriptor, content[written:], offset + written))

    def allocate(self, node: int, mode: int, offset: int, length: int) -> None:
        """fallocate(2)."""
        descriptor = self.descriptor(node)
        self.freeing.with_room(lambda: syscalls.fallocate(descriptor, mode, offset, length))

    def attributes(self, node: int) -> Attributes:
        """statx(2) of the object."""
        descriptor = self._descriptors.get(node)
        if descriptor is None:
            descriptor = self._kept.get(node)
        if descriptor is not None:
            return syscalls.statx(descriptor)
        passing = syscalls.open_by_handle(self.root, self.node(node).handle, _REFERENCE)
        try:
            return syscalls.statx(passing)
        finally:
            os.close(passing)


def _write_all(descriptor: int, content: memoryview, offset: int) -> None:
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], offset + written)
