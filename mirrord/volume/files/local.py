"""What replication needs of a tree on this node's disk, beside the changes themselves."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

from mirrord.volume.files import syscalls
from mirrord.volume.files.tree import ROOT, Tree
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


def make_durable(changed: Iterable[tuple[Tree, int]]) -> None:
    """Bring to the disk the content of files; of a tree with a node 0, everything."""
    files: dict[Tree, set[int]] = {}
    for tree, node in changed:
        files.setdefault(tree, set()).add(node)
    for tree, nodes in files.items():
        if 0 in nodes:
            syscalls.syncfs(tree.descriptor(ROOT))
        else:
            for node in nodes:
                os.fdatasync(tree.descriptor(node))
