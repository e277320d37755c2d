"""How the secondary makes each change that the primary has made."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence

from mirrord.volume.files import objects, syscalls
from mirrord.volume.files.tree import Tree
from mirrord.volume.link import moments
from mirrord.volume.link.records import CHOWN, LENGTH, NOW, OWNED, STAYS, Kind, Made, Record

_MODE_BITS = 0o7777


def apply(trees: Sequence[Tree], record: Record) -> None:
    """Carry out one record.

    Raises OSError if this node's file system refuses, UnknownNode if something is mentioned that was not bound, and
    ValueError, IndexError or struct.error if the record is none of those that change something.
    """
    change = _CHANGES.get(record.kind)
    if change is None:
        raise ValueError(f"a record of kind {record.kind} changes nothing")
    change(trees[record.tree], record)


def _write(tree: Tree, record: Record) -> None:
    tree.write(record.node, memoryview(record.payload), record.offset)


def _truncate(tree: Tree, record: Record) -> None:
    os.ftruncate(tree.descriptor(record.node), record.offset)


def _make(tree: Tree, record: Record) -> None:
    made = Made.unpack(record.payload)
    objects.recreate(tree, record.node, made)
    tree.bind(record.node, made.name, record.offset)
    if made.times != NOW:
        syscalls.stamp(tree.descriptor(record.offset), *made.times)


def _link(tree: Tree, record: Record) -> None:
    syscalls.link(tree.descriptor(record.node), tree.descriptor(record.offset), bytes(record.payload))


def _unlink(tree: Tree, record: Record) -> None:
    folder, name = tree.descriptor(record.node), bytes(record.payload)
    with tree.freeing.holding(folder, name):
        os.unlink(name, dir_fd=folder)


def _rmdir(tree: Tree, record: Record) -> None:
    os.rmdir(bytes(record.payload), dir_fd=tree.descriptor(record.node))


def _rename(tree: Tree, record: Record) -> None:
    old, new = bytes(record.payload).split(b"\0")
    folder = tree.descriptor(record.offset)
    with tree.freeing.holding(folder, new):
        syscalls.rename(tree.descriptor(record.node), old, folder, new, record.flags & ~STAYS)


def _owner_and_mode(tree: Tree, record: Record) -> None:
    """chown(2) only where it was called there, since it drops capabilities; it clears bits, so the mode comes last."""
    uid, gid, mode = OWNED.unpack(record.payload)
    path = tree.path(record.node)
    found = tree.attributes(record.node)
    if record.flags & CHOWN or (found.uid, found.gid) != (uid, gid):
        os.chown(path, uid, gid)
        found = tree.attributes(record.node)
    if found.mode & _MODE_BITS != mode and not stat.S_ISLNK(found.mode):
        os.chmod(path, mode)


def _times(tree: Tree, record: Record) -> None:
    syscalls.stamp(tree.descriptor(record.node), *moments.unpack_pair(record.payload))


def _setxattr(tree: Tree, record: Record) -> None:
    name, _, value = bytes(record.payload).partition(b"\0")
    os.setxattr(tree.path(record.node), name, value)


def _removexattr(tree: Tree, record: Record) -> None:
    try:
        os.removexattr(tree.path(record.node), bytes(record.payload))
    except OSError as error:
        if error.errno != errno.ENODATA:  # a resync has not come to this object yet
            raise


def _allocate(tree: Tree, record: Record) -> None:
    (length,) = LENGTH.unpack(record.payload)
    tree.allocate(record.node, record.flags, record.offset, length)


def _bind(tree: Tree, record: Record) -> None:
    tree.bind(record.node, bytes(record.payload), record.offset)


def _forget(tree: Tree, record: Record) -> None:
    tree.drop(record.node)


_CHANGES: dict[int, Callable[[Tree, Record], None]] = {
    Kind.WRITE: _write,
    Kind.TRUNCATE: _truncate,
    Kind.MAKE: _make,
    Kind.LINK: _link,
    Kind.UNLINK: _unlink,
    Kind.RMDIR: _rmdir,
    Kind.RENAME: _rename,
    Kind.OWNER_AND_MODE: _owner_and_mode,
    Kind.TIMES: _times,
    Kind.SETXATTR: _setxattr,
    Kind.REMOVEXATTR: _removexattr,
    Kind.ALLOCATE: _allocate,
    Kind.BIND: _bind,
    Kind.FORGET: _forget,
}
