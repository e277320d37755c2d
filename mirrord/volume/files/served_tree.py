"""The tree on the primary: which inodes the kernel knows, and by which names they are found.

Only this node changes the directory, and only through here, so the names are always right. A node is known as long as
the kernel holds lookups of it, or a known node has its name in it: so every known node's path is known as well.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from mirrord.volume.files import syscalls
from mirrord.volume.files.syscalls import Attributes
from mirrord.volume.files.tree import DIRECTORY, ROOT, Node, Tree
from mirrord.volume.link.records import Kind, Record

_PRIVILEGED = stat.S_ISUID | stat.S_ISGID


class ServedTree(Tree):
    """A tree whose node ids are this node's inode numbers."""

    def __init__(self, number: int, root: int, **options: int) -> None:
        super().__init__(number, root, **options)
        self.root_inode = syscalls.statx(root).ino
        """The root's inode number, which is not its node id."""
        self.aliases: dict[int, list[tuple[Node, bytes]]] = {}
        """The names of a node beyond its first one."""
        self.privileged: set[int] = set()
        """Known nodes with a suid or sgid bit: what a write or truncation by a user must clear."""
        self.bound: set[int] = set()
        """Nodes that the other end of the present link knows; to be cleared with each new link."""
        self.gone: list[int] = []
        """Nodes that it knows and that are not known here any more: it is to be told."""
        self.resyncing = False
        """The peer is being brought up to date: it goes on knowing what has other names, since a listing may come upon
        one of them, and has to say that it is the same thing."""
        self.unsettled: dict[int, None] = {}
        """Nodes whose times have changed since they were last told to the peer."""
        self.unsynced: dict[int, int] = {}
        """Nodes that were written to since they were last synced: bytes."""
        self.note_mode(ROOT, syscalls.statx(root).mode)

    def close(self) -> None:
        super().close()
        self.bound.clear()

    # -- the kernel's lookups ----------------------------------------------------------------------------------------

    def lookup(self, folder: int, name: bytes) -> tuple[Node, Attributes]:
        """Find a name and count that the kernel knows it. Raises FileNotFoundError."""
        descriptor = self.descriptor(folder)
        found = syscalls.statx(descriptor, name)
        node = self.nodes.get(found.ino)
        if node is None:
            node = self._meet(found, syscalls.handle_of(descriptor, name))
        node.references += 1
        self.place(node, self.nodes[folder], name)
        return node, found

    def receive(self, descriptor: int) -> tuple[Node, Attributes]:
        """The kernel knows a file without a name (O_TMPFILE), which stays open by this descriptor."""
        found, handle = syscalls.statx(descriptor), syscalls.handle_of(descriptor)
        self.keep_open(found.ino, descriptor)
        node = self._meet(found, handle)
        node.references += 1
        return node, found

    def forget(self, node: int, lookups: int) -> None:
        """The kernel has dropped so many lookups."""
        self._unreference(self.node(node), lookups)

    def note_mode(self, node: int, mode: int) -> None:
        """Remember whether a node has bits that a write must clear."""
        if mode & _PRIVILEGED:
            self.privileged.add(node)
        else:
            self.privileged.discard(node)

    def is_untold(self, node: int) -> bool:
        """Whether this is a file with times that the peer was not told. Those of directories the kernel itself asks
        for, with every name that is made in them."""
        return node in self.unsettled and self.nodes[node].kind != DIRECTORY

    def _meet(self, found: Attributes, handle: bytes) -> Node:
        node = self.nodes[found.ino] = Node(found.ino, handle, found.mode >> 12)
        if found.mode & _PRIVILEGED:
            self.privileged.add(found.ino)
        return node

    def _unreference(self, node: Node, count: int) -> None:
        node.references -= count
        if node.references > 0 or node.id == ROOT:
            return
        if not (self.resyncing and node.id in self.bound and self._is_linked(node)):
            self._unbind(node.id)
        self.drop(node.id)
        for folder, _ in self.places(node):
            self._unreference(folder, 1)
        self.aliases.pop(node.id, None)
        self.privileged.discard(node.id)
        self.unsettled.pop(node.id, None)
        self.unsynced.pop(node.id, None)

    def _is_linked(self, node: Node) -> bool:
        return node.kind != DIRECTORY and self.attributes(node.id).nlink > 1

    def _unbind(self, node: int) -> None:
        if node in self.bound:
            self.bound.discard(node)
            self.gone.append(node)

    # -- names ---------------------------------------------------------------------------------------------------------

    def places(self, node: Node) -> list[tuple[Node, bytes]]:
        """Every known name of a node, each in its directory."""
        first = [] if node.parent is None else [(node.parent, node.name)]
        return first + self.aliases.get(node.id, [])

    def place(self, node: Node, folder: Node, name: bytes) -> None:
        """The node has this name, known or new."""
        if node.parent is folder and node.name == name:
            return
        if node.parent is None:
            node.parent, node.name = folder, name
        elif (folder, name) in (aliases := self.aliases.setdefault(node.id, [])):
            return
        else:
            aliases.append((folder, name))
        folder.references += 1

    def displace(self, node: Node, folder: Node, name: bytes) -> None:
        """The node has this name no more."""
        places = self.places(node)
        if (folder, name) not in places:
            return
        places.remove((folder, name))
        node.parent, node.name = places[0] if places else (None, b"")
        if len(places) > 1:
            self.aliases[node.id] = places[1:]
        else:
            self.aliases.pop(node.id, None)
        self._unreference(folder, 1)

    def path_of(self, node: Node) -> bytes | None:
        """Relative to the root, b"" for the root itself; None if it has no name."""
        names: list[bytes] = []
        while node.id != ROOT:
            if node.parent is None and not self._find_name(node):
                return None
            names.append(node.name)
            assert node.parent is not None
            node = node.parent
        return b"/".join(reversed(names))

    def inode(self, node: int) -> int:
        """The inode number of a node."""
        return self.root_inode if node == ROOT else node

    def bindings(self, node: int) -> Iterator[Record]:
        """The BINDs after which the peer knows the node, its directories' first; they count as sent from here on.

        A node without a name that was not bound yet gives none: the peer cannot know it.
        """
        if node in self.bound:
            return
        known = self.nodes[node]
        if node == ROOT:
            self.bound.add(node)
            return
        if known.parent is None and not self._find_name(known):
            return
        folder = known.parent
        assert folder is not None
        yield from self.bindings(folder.id)
        if folder.id not in self.bound:
            return
        self.bound.add(node)
        yield Record(Kind.BIND, self.number, folder.id, node, 0, known.name)

    def _find_name(self, node: Node) -> bool:
        """Search the whole tree for a name: the names that were known are gone, but there is another hard link.

        That takes long, and it is rare: before a file loses the last name that is known here, the peer is told of it,
        and a resync tells it of those that are in this state already.
        """
        if self.is_orphan(node.id):
            return False
        for folder, name in self._walk(self.nodes[ROOT]):
            if syscalls.statx(self.descriptor(folder.id), name).ino == node.id:
                self.place(node, folder, name)
                return True
        return False

    def _walk(self, folder: Node) -> Iterator[tuple[Node, bytes]]:
        """Every name that is not a directory's. Directories on the way are known while it is there."""
        with os.scandir(self.path(folder.id)) as entries:
            names = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_folder in names:
            if is_folder:
                inner, _ = self.lookup(folder.id, name)
                yield from self._walk(inner)
                self.forget(inner.id, 1)
            else:
                yield folder, name

    # -- changing names ------------------------------------------------------------------------------------------------

    def named(self, folder: int, name: bytes) -> tuple[Node | None, Attributes]:
        """What has this name, and its node if it is known. Raises FileNotFoundError."""
        found = syscalls.statx(self.descriptor(folder), name)
        return self.nodes.get(found.ino), found

    def victim(self, folder: int, name: bytes) -> tuple[Node | None, bool]:
        """The known node that is about to lose this name, and whether it is its last one.

        The descriptor by which a node without a name is kept is open when this returns. Raises OSError (EMFILE) if
        there are too many of those.
        """
        node, found = self.named(folder, name)
        if node is None:
            return None, False
        last = found.nlink == 1 or node.kind == DIRECTORY
        if last:
            self.prepare_to_keep(node.id)
        return node, last

    def lost(self, node: Node, folder: int, name: bytes, *, last: bool) -> None:
        """The name is gone; after its last one a node is an orphan, which concerns the peer no more."""
        if last:
            self.keep(node.id)
            self.unsettled.pop(node.id, None)
            self.bound.discard(node.id)
            self.gone.append(node.id)  # bound or not: the peer may know it from a resync's listing
        self.displace(node, self.nodes[folder], name)

    def moved(self, node: Node | None, old_folder: int, old: bytes, new_folder: int, new: bytes) -> None:
        """A name was changed; of a node that is not known, nothing was."""
        if node is not None:
            self.place(node, self.nodes[new_folder], new)
            self.displace(node, self.nodes[old_folder], old)
