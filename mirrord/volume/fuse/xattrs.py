"""Requests about extended attributes and ACLs."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from mirrord.volume.fuse import attributes
from mirrord.volume.fuse.abi import GETXATTR_IN, NUMBER_OUT, SETXATTR_ACL_KILL_SGID, SETXATTR_IN, Op
from mirrord.volume.fuse.request import Request
from mirrord.volume.link.records import Kind, Record

if TYPE_CHECKING:
    from mirrord.volume.fuse.capture import Capture, Operation

_PRIVILEGED_PREFIX = b"trusted."
"""listxattr(2) shows these to CAP_SYS_ADMIN only."""


def _getxattr(capture: Capture, request: Request) -> bytes:
    size, _ = GETXATTR_IN.unpack_from(request.body)
    (name,) = request.strings(GETXATTR_IN.size)
    return _sized(os.getxattr(capture.tree.path(request.node), name), size)


def _listxattr(capture: Capture, request: Request) -> bytes:
    size, _ = GETXATTR_IN.unpack_from(request.body)
    names = map(os.fsencode, os.listxattr(capture.tree.path(request.node)))
    visible = (name for name in names if request.uid == 0 or not name.startswith(_PRIVILEGED_PREFIX))
    return _sized(b"".join(name + b"\0" for name in visible), size)


def _sized(value: bytes, size: int) -> bytes:
    """The value, or only how large it is if nothing was offered to hold it."""
    if size == 0:
        return NUMBER_OUT.pack(len(value), 0)
    if len(value) > size:
        raise OSError(errno.ERANGE, "the value is larger")
    return value


def _setxattr(capture: Capture, request: Request) -> None:
    if not capture.admitted(request, (request.node, 0, 0)):
        return
    size, flags, more_flags, _ = SETXATTR_IN.unpack_from(request.body)
    name, _, rest = bytes(request.body[SETXATTR_IN.size :]).partition(b"\0")
    value = rest[:size]
    tree, node = capture.tree, request.node
    os.setxattr(tree.path(node), name, value, flags)
    record = Record(Kind.SETXATTR, tree.number, node, 0, 0, name + b"\0" + value)
    if more_flags & SETXATTR_ACL_KILL_SGID and node in tree.privileged:
        capture.change(record)
        record = attributes.drop_bits(tree, node, stat.S_ISGID)
    capture.change(record, request)


def _removexattr(capture: Capture, request: Request) -> None:
    if not capture.admitted(request, (request.node, 0, 0)):
        return
    (name,) = request.strings(0)
    os.removexattr(capture.tree.path(request.node), name)
    capture.change(Record(Kind.REMOVEXATTR, capture.tree.number, request.node, 0, 0, name), request)


OPERATIONS: dict[int, Operation] = {
    Op.GETXATTR: _getxattr,
    Op.LISTXATTR: _listxattr,
    Op.SETXATTR: _setxattr,
    Op.REMOVEXATTR: _removexattr,
}
