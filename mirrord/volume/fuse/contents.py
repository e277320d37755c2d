"""Requests about the content of files; WRITE itself is in capture.py."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mirrord.volume.fuse.abi import FALLOCATE_IN, FSYNC_DATA_ONLY, FSYNC_IN, LSEEK_IN, OFFSET_OUT, READ_IN, Op
from mirrord.volume.fuse.attributes import clear_privileges, content
from mirrord.volume.fuse.request import Request
from mirrord.volume.fuse.shrinking import next_punch
from mirrord.volume.link.records import LENGTH, Kind, Record

if TYPE_CHECKING:
    from mirrord.volume.fuse.capture import Capture, Operation


def _read(capture: Capture, request: Request) -> bytes:
    _, offset, size = READ_IN.unpack_from(request.body)
    return os.pread(capture.tree.descriptor(request.node), size, offset)


def _lseek(capture: Capture, request: Request) -> bytes:
    _, offset, whence, _ = LSEEK_IN.unpack_from(request.body)
    return OFFSET_OUT.pack(os.lseek(capture.tree.descriptor(request.node), offset, whence))


def _fallocate(capture: Capture, request: Request) -> None:
    _, offset, length, mode, _ = FALLOCATE_IN.unpack_from(request.body)
    tree, node = capture.tree, request.node
    if not capture.admitted(request, (node, 0, 0), *content(tree, node, offset, offset + length)):
        return
    tree.unsettled[node] = None  # before, since XFS changes the times also when it has no room
    whole = offset, length
    if mode & _PUNCH_HOLE:
        offset, length = next_punch(tree.descriptor(node), *whole)
    tree.allocate(node, mode, offset, length)
    record = Record(Kind.ALLOCATE, tree.number, node, offset, mode, LENGTH.pack(length))
    if (offset, length) != whole:
        capture.change(record)
        capture.replicator.go_on(capture, request.message)
        return
    if request.uid and node in tree.privileged and (cleared := clear_privileges(capture, node, request.message)):
        capture.change(record)
        record = cleared
    capture.change(record, request)


_PUNCH_HOLE = 2  # FALLOC_FL_PUNCH_HOLE


def _fsync(capture: Capture, request: Request) -> None:
    _, flags, _ = FSYNC_IN.unpack_from(request.body)
    capture.replicator.fsync(capture, request.node, request.unique, data_only=bool(flags & FSYNC_DATA_ONLY))


def _fsync_directory(capture: Capture, request: Request) -> None:
    capture.settle_node(request.node)
    _fsync(capture, request)


OPERATIONS: dict[int, Operation] = {
    Op.READ: _read,
    Op.LSEEK: _lseek,
    Op.FALLOCATE: _fallocate,
    Op.FSYNC: _fsync,
    Op.FSYNCDIR: _fsync_directory,
}
