"""Requests about names: making, linking, removing and renaming what directories hold."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mirrord.core.zones import MOVED_AT
from mirrord.volume.files import objects, syscalls
from mirrord.volume.files.local import as_it_is
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.syscalls import Attributes
from mirrord.volume.files.tree import DIRECTORY, Node
from mirrord.volume.fuse import abi
from mirrord.volume.fuse.abi import MKDIR_IN, MKNOD_IN, NODE_IN, OPEN_OUT, RENAME2_IN, TMPFILE_IN, Op
from mirrord.volume.fuse.attributes import content, owner_and_mode, times, valid_s
from mirrord.volume.fuse.request import Request
from mirrord.volume.link.records import STAYS, Kind, Made, Record

if TYPE_CHECKING:
    from mirrord.volume.fuse.capture import Capture, Operation

_EXCHANGE, _WHITEOUT = 2, 4
"""Flags of renameat2(2)."""


def entry(tree: ServedTree, node: Node, found: Attributes) -> bytes:
    """What the kernel is told of a name."""
    return abi.entry(node.id, syscalls.generation_of(node.handle), found, valid_s(tree, node.id))


# -- making ------------------------------------------------------------------------------------------------------------


def _mknod(capture: Capture, request: Request) -> None:
    mode, device, umask, _ = MKNOD_IN.unpack_from(request.body)
    (name,) = request.strings(MKNOD_IN.size)
    made = Made(name, mode, request.uid, request.gid, os.makedev(*abi.decoded_device(device)))
    _make(capture, request, made, umask)


def _mkdir(capture: Capture, request: Request) -> None:
    mode, umask = MKDIR_IN.unpack_from(request.body)
    (name,) = request.strings(MKDIR_IN.size)
    _make(capture, request, Made(name, stat.S_IFDIR | stat.S_IMODE(mode), request.uid, request.gid), umask)


def _symlink(capture: Capture, request: Request) -> None:
    name, target = request.strings(0)
    _make(capture, request, Made(name, stat.S_IFLNK | 0o777, request.uid, request.gid, 0, target), 0)


def _make(capture: Capture, request: Request, wanted: Made, umask: int) -> None:
    if not capture.admitted(request, (request.node, 0, 0)):
        return
    objects.create(capture.tree.descriptor(request.node), wanted, umask)
    record, reply = _made(capture, request.node, wanted)
    capture.change(record, request, reply)


def _made(capture: Capture, folder: int, wanted: Made) -> tuple[Record, bytes]:
    """What has just got a name: as the peer is to make it, and as the kernel is told of it."""
    tree = capture.tree
    node, found = tree.lookup(folder, wanted.name)
    tree.unsettled[folder] = None
    if tree.bound:  # there is a link
        tree.bound.add(node.id)
    xattrs = objects.xattrs_at(b"%b/%b" % (tree.path(folder), wanted.name))
    made = Made(wanted.name, found.mode, found.uid, found.gid, wanted.rdev, wanted.target, xattrs, found.times)
    return Record(Kind.MAKE, tree.number, folder, node.id, 0, made.pack()), entry(tree, node, found)


def _tmpfile(capture: Capture, request: Request) -> bytes:
    """A file without a name concerns only this node, until it gets one."""
    flags, mode, umask, _ = TMPFILE_IN.unpack_from(request.body)
    made = Made(b"", mode, request.uid, request.gid)
    folder = capture.tree.descriptor(request.node)
    descriptor = objects.create_unnamed(folder, made, umask, flags & os.O_EXCL)
    node, found = capture.tree.receive(descriptor)
    return entry(capture.tree, node, found) + OPEN_OUT.pack(0, abi.FOPEN_KEEP_CACHE, 0)


# -- linking -----------------------------------------------------------------------------------------------------------


def _link(capture: Capture, request: Request) -> None:
    (old,) = NODE_IN.unpack_from(request.body)
    (name,) = request.strings(NODE_IN.size)
    tree = capture.tree
    if tree.is_orphan(old):
        _link_orphan(capture, request, old, name)
    elif capture.admitted(request, (request.node, 0, 0), (old, 0, 0)):
        _make_known(capture, tree.node(old))
        syscalls.link(tree.descriptor(old), tree.descriptor(request.node), name)
        tree.unsettled[request.node] = None
        reply = entry(tree, tree.node(old), tree.attributes(old))
        capture.change(Record(Kind.LINK, tree.number, old, request.node, 0, name), request, reply)
        tree.lookup(request.node, name)  # not before: the peer could not find it by this name


def _make_known(capture: Capture, node: Node) -> None:
    """The peer knows a file by a name that it has, too, as long as there is one."""
    if node.id not in capture.tree.bound:
        capture.change(times(capture.tree, node.id))


def _link_orphan(capture: Capture, request: Request, old: int, name: bytes) -> None:
    """A file of O_TMPFILE gets its first name: the peer has none of it, so it is sent whole."""
    tree = capture.tree
    if not capture.admitted(request, (request.node, 0, 0), (old, 0, 0), *content(tree, old, 0)):
        return
    syscalls.link(tree.descriptor(old), tree.descriptor(request.node), name)
    tree.unkeep(old)
    record, reply = _made(capture, request.node, Made(name, 0, 0, 0))
    capture.change(record)
    tree.unsettled[old] = None
    capture.replicator.stream(capture, _whole(capture, old), request.unique, reply)


def _whole(capture: Capture, node: int) -> Iterator[Record]:
    """A file's content, holes left out, and its size; each part as it is when it is taken."""
    end, tree = 0, capture.tree
    while node in tree.nodes:
        descriptor = tree.descriptor(node)
        try:
            at = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole until the end
            break
        end = min(os.lseek(descriptor, at, os.SEEK_HOLE), at + abi.WRITE_BYTES_MAX)
        yield Record(Kind.WRITE, tree.number, node, at, 0, os.pread(descriptor, end - at, at))
    if node in tree.nodes:
        yield from as_it_is(tree, node, end, 0)


# -- removing ----------------------------------------------------------------------------------------------------------


def _unlink(capture: Capture, request: Request) -> None:
    _remove(capture, request, Kind.UNLINK, os.unlink)


def _rmdir(capture: Capture, request: Request) -> None:
    _remove(capture, request, Kind.RMDIR, os.rmdir)


def _remove(capture: Capture, request: Request, kind: Kind, remove: Callable[..., None]) -> None:
    if not capture.admitted(request, (request.node, 0, 0)):
        return
    (name,) = request.strings(0)
    tree = capture.tree
    victim, last = tree.victim(request.node, name)
    if victim is not None and not last:
        _make_known(capture, victim)
    remove(name, dir_fd=tree.descriptor(request.node))
    if victim is not None:
        tree.lost(victim, request.node, name, last=last)
    tree.unsettled[request.node] = None
    capture.change(Record(kind, tree.number, request.node, 0, _stays(victim, last=last), name), request)


def _stays(victim: Node | None, *, last: bool) -> int:
    return STAYS if victim is not None and not last else 0


# -- renaming ----------------------------------------------------------------------------------------------------------


def _rename(capture: Capture, request: Request) -> None:
    (folder,) = NODE_IN.unpack_from(request.body)
    old, new = request.strings(NODE_IN.size)
    _move(capture, request, folder, old, new, 0)


def _rename2(capture: Capture, request: Request) -> None:
    folder, flags, _ = RENAME2_IN.unpack_from(request.body)
    old, new = request.strings(RENAME2_IN.size)
    _move(capture, request, folder, old, new, flags)


def _move(capture: Capture, request: Request, folder: int, old: bytes, new: bytes, flags: int) -> None:
    tree = capture.tree
    moving, found = tree.named(request.node, old)
    # What moves is marked as well: under its new name a resync has to compare it with something else.
    touched = [(request.node, 0, 0), (folder, 0, 0), *_moving(found)]
    if flags & _EXCHANGE:
        touched += _moving(tree.named(folder, new)[1])
    if not capture.admitted(request, *touched):
        return
    try:
        victim, last = tree.victim(folder, new)
    except FileNotFoundError:
        victim, last = None, False
    if victim is not None and not last:
        _make_known(capture, victim)
    _rename_here(tree, request, folder, old, new, flags)
    if flags & _EXCHANGE:
        tree.moved(victim, folder, new, request.node, old)
        _note_parent(tree, victim, folder, request.node)
    elif victim is not None:
        tree.lost(victim, folder, new, last=last)
    tree.moved(moving, request.node, old, folder, new)
    _note_parent(tree, moving, request.node, folder)
    tree.unsettled[request.node] = tree.unsettled[folder] = None
    payload = old + b"\0" + new
    told = flags if flags & _EXCHANGE else flags | _stays(victim, last=last)
    capture.change(Record(Kind.RENAME, tree.number, request.node, folder, told, payload), request)
    if flags & _WHITEOUT:
        _tell_of_whiteout(capture, request.node, old)


def _rename_here(tree: ServedTree, request: Request, folder: int, old: bytes, new: bytes, flags: int) -> None:
    """A whiteout that is left behind is the caller's."""
    if flags & _WHITEOUT:
        tree.unsettled[request.node] = None  # on ext4 also when it fails in the end
        syscalls.act_as(request.uid, request.gid)
    try:
        syscalls.rename(tree.descriptor(request.node), old, tree.descriptor(folder), new, flags)
    finally:
        if flags & _WHITEOUT:
            syscalls.act_as(0, 0)


def _moving(found: Attributes) -> Iterator[tuple[int, int, int]]:
    """What is marked of an object before it gets another name."""
    yield found.ino, 0, 0
    if stat.S_ISDIR(found.mode):
        yield found.ino, MOVED_AT, 0


def _note_parent(tree: ServedTree, moved: Node | None, old: int, new: int) -> None:
    """XFS counts a folder's new parent, its "..", as a change of what is in it."""
    if moved is not None and moved.kind == DIRECTORY and old != new:
        tree.unsettled[moved.id] = None


def _tell_of_whiteout(capture: Capture, folder: int, name: bytes) -> None:
    """The peer has made one as well, at another moment and its own."""
    node, _ = capture.tree.lookup(folder, name)
    capture.change(owner_and_mode(capture.tree, node.id))
    capture.change(times(capture.tree, node.id))
    capture.tree.forget(node.id, 1)


OPERATIONS: dict[int, Operation] = {
    Op.MKNOD: _mknod,
    Op.MKDIR: _mkdir,
    Op.SYMLINK: _symlink,
    Op.TMPFILE: _tmpfile,
    Op.LINK: _link,
    Op.UNLINK: _unlink,
    Op.RMDIR: _rmdir,
    Op.RENAME: _rename,
    Op.RENAME2: _rename2,
}
