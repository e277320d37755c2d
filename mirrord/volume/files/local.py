"""What replication needs of a tree on this node's disk, beside the changes themselves."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping

from mirrord.volume.files import syscalls
from mirrord.volume.files.tree import DIRECTORY, FILE, Tree
from mirrord.volume.link.records import Kind, Record

CHUNK_BYTES = 1 << 20


def is_broken(error: OSError) -> bool:
    """Whether the disk has failed, rather than being full or a request being wrong."""
    return error.errno in (errno.EIO, errno.EROFS, errno.EUCLEAN)


def as_it_is(tree: Tree, node: int, offset: int, length: int) -> Iterator[Record]:
    """A file's content in a range, and its size, as they are now."""
    descriptor = tree.descriptor(node)
    size = os.fstat(descriptor).st_size
    end = min(offset + length, size)
    for at in range(offset, end, CHUNK_BYTES):
        content = os.pread(descriptor, min(CHUNK_BYTES, end - at), at)
        yield Record(Kind.WRITE, tree.number, node, at, 0, content)
    yield Record(Kind.TRUNCATE, tree.number, node, size)


def make_durable(changed: Mapping[tuple[Tree, int], bool]) -> None:
    """Bring nodes to the disk: files' content, or (True) everything about them. Where one cannot be synced by itself,
    all of its file system is, which also writes what is nobody's business here."""
    whole = {tree for tree, node in changed if not _can_be_synced(tree, node)}
    for tree in whole:
        syscalls.syncfs(tree.root)
    for (tree, node), everything in changed.items():
        if tree not in whole and not tree.is_orphan(node):
            (os.fsync if everything else os.fdatasync)(tree.descriptor(node))


def _can_be_synced(tree: Tree, node: int) -> bool:
    """Links and devices cannot, nor what is not known any more."""
    return node in tree.nodes and tree.nodes[node].kind in (FILE, DIRECTORY)
