"""Requests about what an object is: owner, permissions, size and times."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mirrord.core.zones import CHUNK_BITS, GROUP_AT, RANGE_ZONES_MAX
from mirrord.volume.files import syscalls
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.fuse import abi
from mirrord.volume.fuse.abi import (
    SET_ANYTHING,
    SET_ATIME,
    SET_ATIME_NOW,
    SET_FH,
    SET_GID,
    SET_KILL_SUIDGID,
    SET_MODE,
    SET_MTIME,
    SET_MTIME_NOW,
    SET_SIZE,
    SET_UID,
    SETATTR_IN,
    STATFS_OUT,
    STATX_OUT,
    Op,
)
from mirrord.volume.fuse.callers import may_set_group_id
from mirrord.volume.fuse.request import Request
from mirrord.volume.fuse.shrinking import next_size
from mirrord.volume.link import moments
from mirrord.volume.link.records import CHOWN, OWNED, Kind, Record

if TYPE_CHECKING:
    from mirrord.volume.fuse.capture import Capture, Operation

_KEEP = -1
_END = (1 << 63) - 1


class SetAttr(NamedTuple):
    """struct fuse_setattr_in."""

    valid: int
    padding: int
    fh: int
    size: int
    lock_owner: int
    atime_s: int
    mtime_s: int
    ctime_s: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    unused: int
    uid: int
    gid: int
    unused_too: int


def _getattr(capture: Capture, request: Request) -> bytes | None:
    return _shown(capture, request, lambda: abi.attr_out(capture.tree.attributes(request.node), abi.FOREVER_S))


def _statx(capture: Capture, request: Request) -> bytes | None:
    descriptor = capture.tree.descriptor(request.node)
    return _shown(capture, request, lambda: STATX_OUT.pack(abi.FOREVER_S, 0, 0) + syscalls.statx_raw(descriptor))


def _shown(capture: Capture, request: Request, reply: Callable[[], bytes]) -> bytes | None:
    """A file's times that anybody has seen are at the peer, so a takeover does not change them. That is why fsync need
    not bring them there: to ask for them makes the file system give the next write a new time of its own (multigrain
    timestamps, Linux 6.13), and each fsync then has an inode to write."""
    if not capture.tree.is_untold(request.node):
        return reply()
    capture.change(capture.unsettled_times(request.node), request, reply())
    return None


def valid_s(tree: ServedTree, node: int) -> int:
    """How long the kernel may show a node's attributes. Times that the peer does not have yet, it asks for."""
    return 0 if tree.is_untold(node) else abi.FOREVER_S


def _statfs(capture: Capture, request: Request) -> bytes:
    found = os.statvfs(capture.tree.root)
    return STATFS_OUT.pack(
        found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree, found.f_bsize, found.f_namemax,
        found.f_frsize, 0,
    )  # fmt: skip


def _setattr(capture: Capture, request: Request) -> bytes | None:
    """Step by step; what was done before a step failed, was done, and the peer is told of it."""
    change = SetAttr._make(SETATTR_IN.unpack_from(request.body))
    tree, node = capture.tree, request.node
    touched = content(tree, node, change.size) if change.valid & SET_SIZE else ()
    if not capture.admitted(request, (node, 0, 0), *touched):
        return None
    if not change.valid & SET_ANYTHING:
        _check_may_clear(tree, request)
    if change.valid & SET_SIZE and (between := next_size(tree.descriptor(node), change.size)) != change.size:
        capture.change(_truncate(tree, node, between, opened=bool(change.valid & SET_FH)))
        capture.replicator.go_on(capture, request.message)
        return None
    record = None
    for step in _steps(capture, request, change):
        capture.change(record)
        record = step()
    found = tree.attributes(node)
    tree.note_mode(node, found.mode)
    reply = abi.attr_out(found, valid_s(tree, node))
    if record is None:
        return reply
    capture.change(record, request, reply)
    return None


def _check_may_clear(tree: ServedTree, request: Request) -> None:
    """Nothing but suid and sgid is to be cleared: for chown(-1, -1), which is the owner's, or before fallocate(2), by
    whoever may write. The kernel has not judged the former, and does not say which it is."""
    if request.node in tree.privileged and request.uid:
        found = tree.attributes(request.node)
        if request.uid != found.uid and not found.mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(errno.EPERM, "not the owner")


def _steps(capture: Capture, request: Request, change: SetAttr) -> Iterator[Callable[[], Record | None]]:
    tree, node, valid = capture.tree, request.node, change.valid
    if valid & SET_KILL_SUIDGID and node in tree.privileged:
        yield partial(clear_privileges, capture, node, request.message)
    if valid & SET_SIZE:
        # To the same size, truncate(2) leaves the times alone on XFS, but O_TRUNC and ftruncate(2) do not.
        yield partial(_truncate, tree, node, change.size, opened=bool(valid & SET_FH))
    if valid & (SET_UID | SET_GID) or not valid & SET_ANYTHING:  # chown(-1, -1) does something, too
        uid, gid = change.uid if valid & SET_UID else _KEEP, change.gid if valid & SET_GID else _KEEP
        yield partial(_chown, tree, node, uid, gid)
    if valid & SET_MODE:
        yield partial(_chmod, tree, node, stat.S_IMODE(change.mode))
    if valid & (SET_ATIME | SET_MTIME):
        atime = _moment(valid & SET_ATIME, valid & SET_ATIME_NOW, change.atime_s, change.atime_ns)
        mtime = _moment(valid & SET_MTIME, valid & SET_MTIME_NOW, change.mtime_s, change.mtime_ns)
        yield partial(_set_times, tree, node, atime, mtime)


def content(tree: ServedTree, node: int, start: int, end: int = _END) -> list[tuple[int, int, int]]:
    """Where a file has content between two places: node, offset, length. Nothing else is there for a change to take
    away, and what lies between may be petabytes of hole, or more than a file can have. Content in too many zones is
    not looked for to its end: it counts as content everywhere."""
    descriptor = tree.descriptor(node)
    found, zones_left = [], RANGE_ZONES_MAX
    try:
        while (at := os.lseek(descriptor, start, os.SEEK_DATA)) < end:
            start = min(os.lseek(descriptor, at, os.SEEK_HOLE), end)
            found.append((node, at, start - at))
            zones_left -= 1 + (start - at >> CHUNK_BITS)
            if zones_left < 0:
                return [(node, GROUP_AT, 0)]
    except OSError as error:
        if error.errno != errno.ENXIO:  # nothing but a hole until the end
            raise
    return found


def _truncate(tree: ServedTree, node: int, size: int, *, opened: bool) -> Record:
    os.truncate(tree.descriptor(node) if opened else tree.path(node), size)
    tree.unsettled[node] = None
    return Record(Kind.TRUNCATE, tree.number, node, size)


def _chown(tree: ServedTree, node: int, uid: int, gid: int) -> Record:
    """Clears suid, sgid and capabilities as chown(2) does."""
    os.chown(tree.path(node), uid, gid)
    return owner_and_mode(tree, node, CHOWN)


def _chmod(tree: ServedTree, node: int, mode: int) -> Record:
    os.chmod(tree.path(node), mode)
    return owner_and_mode(tree, node)


def _set_times(tree: ServedTree, node: int, atime: tuple[int, int], mtime: tuple[int, int]) -> Record:
    syscalls.set_times(tree.descriptor(node), atime, mtime)
    tree.unsettled.pop(node, None)
    return times(tree, node)


def _moment(wanted: int, now: int, seconds: int, ns: int) -> tuple[int, int]:
    """As utimensat(2) takes it."""
    if not wanted:
        return 0, syscalls.UTIME_OMIT
    if now:
        return 0, syscalls.UTIME_NOW
    return (seconds ^ _SIGN) - _SIGN, ns


_SIGN = 1 << 63
"""FUSE's seconds are signed, in an unsigned field."""


def owner_and_mode(tree: ServedTree, node: int, flags: int = 0) -> Record:
    """The owner and the permissions of a node as they are now."""
    found = tree.attributes(node)
    payload = OWNED.pack(found.uid, found.gid, stat.S_IMODE(found.mode))
    return Record(Kind.OWNER_AND_MODE, tree.number, node, 0, flags, payload)


def times(tree: ServedTree, node: int) -> Record:
    """The times of a node as they are now."""
    return Record(Kind.TIMES, tree.number, node, 0, 0, moments.pack(*tree.attributes(node).times))


def clear_privileges(capture: Capture, node: int, message: memoryview) -> Record | None:
    """What write(2), truncate(2) and fallocate(2) of somebody without CAP_FSETID clear: suid, and sgid of what its
    group may execute; without that, of what is a foreign group's. The write itself clears capabilities."""
    found = capture.tree.attributes(node)
    bits = found.mode & stat.S_ISUID
    if found.mode & stat.S_ISGID and (found.mode & stat.S_IXGRP or not may_set_group_id(message, found.gid)):
        bits |= stat.S_ISGID
    return drop_bits(capture.tree, node, bits) if bits else None


def drop_bits(tree: ServedTree, node: int, bits: int) -> Record:
    """Take bits from the permissions."""
    mode = stat.S_IMODE(tree.attributes(node).mode) & ~bits
    record = _chmod(tree, node, mode)
    tree.note_mode(node, mode)
    return record


OPERATIONS: dict[int, Operation] = {
    Op.GETATTR: _getattr,
    Op.SETATTR: _setattr,
    Op.STATX: _statx,
    Op.STATFS: _statfs,
}
