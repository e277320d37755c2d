"""Requests that read names: looking up and forgetting, reading directories and symbolic links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mirrord.volume.files import syscalls
from mirrord.volume.fuse import abi
from mirrord.volume.fuse.abi import BATCH_FORGET_IN, DIRENT, FORGET_ONE, LINUX_DIRENT64, NODE_IN, READ_IN, Op
from mirrord.volume.fuse.names import entry
from mirrord.volume.fuse.request import Request

if TYPE_CHECKING:
    from mirrord.volume.fuse.capture import Capture, Operation

_NAME_AT = LINUX_DIRENT64.size
_PLUS_RATIO = 7
"""How much larger an entry with attributes is than one of getdents64(2), about: so much less is read at once."""
_READ_BYTES_MIN = 512
"""Holds the longest name."""


def _lookup(capture: Capture, request: Request) -> bytes:
    try:
        return entry(capture.tree, *capture.tree.lookup(request.node, bytes(request.body[:-1])))
    except FileNotFoundError:
        return abi.NO_ENTRY


def _forget(capture: Capture, request: Request) -> None:
    (count,) = NODE_IN.unpack_from(request.body)
    _drop(capture, request.node, count)


def _forget_batch(capture: Capture, request: Request) -> None:
    count, _ = BATCH_FORGET_IN.unpack_from(request.body)
    end = BATCH_FORGET_IN.size + count * FORGET_ONE.size
    for node, lookups in FORGET_ONE.iter_unpack(request.body[BATCH_FORGET_IN.size : end]):
        _drop(capture, node, lookups)


def _drop(capture: Capture, node: int, lookups: int) -> None:
    if node in capture.tree.nodes:
        capture.settle_node(node)
        capture.tree.forget(node, lookups)


def _readlink(capture: Capture, request: Request) -> bytes:
    return os.readlink(b"", dir_fd=capture.tree.descriptor(request.node))


def _readdir(capture: Capture, request: Request) -> bytes:
    """Stateless: the offsets are the file system's own, which stay right while names come and go."""
    _, offset, size = READ_IN.unpack_from(request.body)
    reply = bytearray()
    for inode, following, kind, name in _entries(capture, request.node, offset, size):
        found = _packed(inode, following, kind, name)
        if len(reply) + len(found) > size:
            break
        reply += found
    return bytes(reply)


def _readdirplus(capture: Capture, request: Request) -> bytes:
    """The same, each name looked up."""
    _, offset, size = READ_IN.unpack_from(request.body)
    reply = bytearray()
    for inode, following, kind, name in _entries(capture, request.node, offset, size // _PLUS_RATIO):
        found = _packed(inode, following, kind, name)
        if len(reply) + abi.ENTRY_BYTES + len(found) > size:
            break  # before it is looked up, since the kernel counts what it is told
        known = abi.PASS_BY if name in (b".", b"..") else entry(capture.tree, *capture.tree.lookup(request.node, name))
        reply += known + found
    return bytes(reply)


def _entries(capture: Capture, node: int, offset: int, size: int) -> Iterator[tuple[int, int, int, bytes]]:
    """Inode number, offset of the next, type and name of the entries from an offset on."""
    descriptor = capture.tree.descriptor(node)
    os.lseek(descriptor, offset, os.SEEK_SET)
    found = bytes(syscalls.getdents(descriptor, max(size, _READ_BYTES_MIN)))
    at = 0
    while at < len(found):
        inode, following, length, kind = LINUX_DIRENT64.unpack_from(found, at)
        yield inode, following, kind, found[at + _NAME_AT : found.index(b"\0", at + _NAME_AT)]
        at += length


def _packed(inode: int, following: int, kind: int, name: bytes) -> bytes:
    return DIRENT.pack(inode, following, len(name), kind) + name + bytes(-len(name) % 8)


OPERATIONS: dict[int, Operation] = {
    Op.LOOKUP: _lookup,
    Op.FORGET: _forget,
    Op.BATCH_FORGET: _forget_batch,
    Op.READLINK: _readlink,
    Op.READDIR: _readdir,
    Op.READDIRPLUS: _readdirplus,
}
