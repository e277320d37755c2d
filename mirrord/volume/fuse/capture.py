"""The file system that applications see: each request of the kernel is an answer, or a change to replicate first.

Permissions, locks, page cache and names that were looked up are the kernel's; this node's own file system underneath
decides everything else, its errors included. One small function an operation, in the modules beside this one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import UnknownNode
from mirrord.volume.fuse import abi, attributes, contents, directories, names, xattrs
from mirrord.volume.fuse.abi import IN, OUT, WRITE_KILL_SUIDGID, WRITTEN_OUT, Op
from mirrord.volume.fuse.replicating import Replicator
from mirrord.volume.fuse.request import Request
from mirrord.volume.link.records import Kind, Record

Operation = Callable[["Capture", Request], bytes | None]
"""Returns the answer, or None if it comes from elsewhere, later or never."""

_BACKGROUND_MAX = 256
"""Reads ahead and asynchronous direct requests that the kernel has under way at once."""

_FAR_BYTES = 1 << 40
"""Offsets from here on may be larger than the file system's files can be."""

_UNSETTLED_MAX = 512
"""With more nodes than this, those changed first are settled in passing, so that settling all is never long."""

_UNSYNCED_MAX = 512
"""Of more files than this, what was written to the first one is on its way to the disk by itself, most likely."""

_WRITE = int(Op.WRITE)
_GONE = (errno.ENOENT, errno.ENODEV)
"""Of an answer: the request was given up, or the mount was."""


class Capture:
    """One mounted tree. device: the /dev/fuse descriptor of its mount, not blocking, and the caller's."""

    def __init__(self, tree: ServedTree, replicator: Replicator, device: int) -> None:
        self.tree = tree
        self.replicator = replicator
        self.device = device

    # -- requests ------------------------------------------------------------------------------------------------------

    def handle(self, message: memoryview) -> None:
        """One request, whole. It may be answered when this returns, or later by the replicator."""
        length, op, unique, node, uid, gid, _, _, _ = IN.unpack_from(message)
        reply = None
        try:
            if op == _WRITE:
                self._write(message, unique, node)
            else:
                request = Request(unique, node, uid, gid, message[IN.size : length], message[:length])
                reply = _OPERATIONS.get(op, _unknown)(self, request)
        except OSError as error:
            self.fail(unique, error.errno or errno.EIO)
        except UnknownNode:
            self.fail(unique, errno.ESTALE)
        if reply is not None:
            self.answer(unique, reply)
        self.tree.trim()
        if self.tree.gone:
            self._tell_gone()
        while len(self.tree.unsettled) > _UNSETTLED_MAX:
            self.settle_node(next(iter(self.tree.unsettled)))

    def _write(self, message: memoryview, unique: int, node: int) -> None:
        _, offset, size, flags, _, _, _ = abi.WRITE_IN.unpack_from(message, IN.size)
        replicator = self.replicator
        if not replicator.admits(self, node, offset, size):
            replicator.park(self, message[: _CONTENT_AT + size])
            return
        if flags & WRITE_KILL_SUIDGID and node in self.tree.privileged:
            replicator.catch_up()
            self.change(attributes.clear_privileges(self, node, message))
        content = message[_CONTENT_AT : _CONTENT_AT + size]
        self.tree.unsettled[node] = None
        unsynced = self.tree.unsynced
        unsynced[node] = unsynced.get(node, 0) + size
        if len(unsynced) > _UNSYNCED_MAX:
            del unsynced[next(iter(unsynced))]
        if offset > _FAR_BYTES:
            self._write_far(node, offset, content, unique)
        else:
            replicator.write(self, node, offset, content, unique)

    def _write_far(self, node: int, offset: int, content: memoryview, unique: int) -> None:
        """Carried out here first: if it is beyond what a file can be, the peer is not to fail with it."""
        self.replicator.catch_up()
        self.tree.write(node, content, offset)
        record = Record(Kind.WRITE, self.tree.number, node, offset, 0, bytes(content))
        self.replicator.change(self, record, unique, abi.NUMBER_OUT.pack(len(content), 0))

    def admitted(self, request: Request, *ranges: tuple[int, int, int]) -> bool:
        """May these be changed now: (node, offset, length)? If not, the request comes again. Each change begins so."""
        self.replicator.catch_up()
        # All are asked, so that marking begins for all of them at once.
        answers = [self.replicator.admits(self, *touched) for touched in ranges]
        if not all(answers):
            self.replicator.park(self, request.message)
        return all(answers)

    def change(self, record: Record | None, request: Request | None = None, reply: bytes = b"") -> None:
        """A change was made here: replicate it, then answer the request, if one waits for it."""
        if record is not None:
            self.replicator.change(self, record, request.unique if request else 0, reply)

    # -- times ---------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Tell the peer the times of everything that has changed since the last settling."""
        for node in tuple(self.tree.unsettled):
            self.settle_node(node)

    def settle_node(self, node: int) -> None:
        """The same for one node."""
        self.change(self.unsettled_times(node))

    def unsettled_times(self, node: int) -> Record | None:
        """A node's times, if they have changed since they were last told; the caller tells them."""
        if node not in self.tree.unsettled:
            return None
        self.replicator.catch_up()
        del self.tree.unsettled[node]
        return attributes.times(self.tree, node)

    def _tell_gone(self) -> None:
        for node in self.tree.gone:
            if node not in self.tree.bound:  # again: a resync may have introduced it since
                self.replicator.forgotten(self, node)
        self.tree.gone.clear()

    # -- answers -------------------------------------------------------------------------------------------------------

    def answer(self, unique: int, reply: bytes) -> None:
        """The request is done."""
        self._reply(OUT.pack(OUT.size + len(reply), 0, unique), reply)

    def written(self, unique: int, size: int) -> None:
        """The write is done."""
        self._reply(WRITTEN_OUT.pack(WRITTEN_OUT.size, 0, unique, size, 0))

    def fail(self, unique: int, code: int) -> None:
        """The request has failed with this errno."""
        self._reply(abi.failed(unique, code))

    def _reply(self, *pieces: bytes) -> None:
        try:
            os.writev(self.device, pieces)
        except OSError as error:
            if error.errno not in _GONE:
                raise


_CONTENT_AT = IN.size + abi.WRITE_IN.size


def _initialise(capture: Capture, request: Request) -> bytes:
    """The first request: both sides say what they can do."""
    major, minor, readahead, offered = abi.INIT_IN.unpack_from(request.body)
    if major != abi.MAJOR or minor < abi.MINOR_MIN or abi.NEEDED & ~offered:
        raise OSError(errno.EPROTO, "this kernel's FUSE is too old")
    return abi.INIT_OUT.pack(
        abi.MAJOR, min(minor, abi.MINOR), readahead, abi.WANTED & offered, _BACKGROUND_MAX,
        _BACKGROUND_MAX * 3 // 4, abi.WRITE_BYTES_MAX, 1, abi.WRITE_BYTES_MAX // abi.PAGE_BYTES, 0, 0,
        0, 0, 0,
    )  # fmt: skip


def _unknown(capture: Capture, request: Request) -> bytes:
    """ENOSYS makes the kernel do without: opens and closes (it then keeps the cache), creating and opening in one
    (it makes, then opens), flushing, copying ranges (it reads and writes)."""
    raise OSError(errno.ENOSYS, "not served")


def _no_terminal(capture: Capture, request: Request) -> bytes:
    raise OSError(errno.ENOTTY, "neither a terminal nor anything else with calls of its own")


def _nothing(capture: Capture, request: Request) -> bytes:
    return b""


def _no_answer(capture: Capture, request: Request) -> None:
    return None


_OPERATIONS: dict[int, Operation] = {
    Op.INIT: _initialise,
    Op.RELEASE: _nothing,
    Op.RELEASEDIR: _nothing,
    Op.DESTROY: _nothing,
    Op.INTERRUPT: _no_answer,
    Op.IOCTL: _no_terminal,
    **names.OPERATIONS,
    **attributes.OPERATIONS,
    **contents.OPERATIONS,
    **directories.OPERATIONS,
    **xattrs.OPERATIONS,
}
