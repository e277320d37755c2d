"""How an object comes into being in a folder: for an application on the primary, exactly as told on the secondary."""

from __future__ import annotations

import errno
import os
import stat

from mirrord.volume.files import syscalls
from mirrord.volume.files.tree import Tree
from mirrord.volume.link.records import Made


def create(folder: int, made: Made, umask: int = 0) -> None:
    """Make it as the kernel would for its owner: who it belongs to also follows the folder's setgid bit, and what it
    permits the folder's default ACL or else the umask."""
    acting = made.uid or made.gid
    if acting:
        syscalls.act_as(made.uid, made.gid)
    if umask:
        os.umask(umask)
    try:
        _create(folder, made)
    finally:
        if umask:
            os.umask(0)
        if acting:
            syscalls.act_as(0, 0)


def create_unnamed(folder: int, made: Made, umask: int, flags: int) -> int:
    """A file without a name, as `create` makes one with it: the descriptor. flags: O_EXCL if it is never to get one."""
    syscalls.act_as(made.uid, made.gid)
    os.umask(umask)
    try:
        flags |= os.O_TMPFILE | os.O_RDWR | os.O_NOATIME
        return os.open(b".", flags, stat.S_IMODE(made.mode), dir_fd=folder)
    finally:
        os.umask(0)
        syscalls.act_as(0, 0)


def _create(folder: int, made: Made) -> None:
    if stat.S_ISDIR(made.mode):
        os.mkdir(made.name, stat.S_IMODE(made.mode), dir_fd=folder)
    elif stat.S_ISLNK(made.mode):
        os.symlink(made.target, made.name, dir_fd=folder)
    else:
        os.mknod(made.name, made.mode, made.rdev, dir_fd=folder)


def recreate(tree: Tree, folder: int, made: Made) -> None:
    """Make the object exactly as `made` says, whatever would be inherited here. Raises FileExistsError."""
    descriptor = tree.descriptor(folder)
    create(descriptor, made)
    path = b"/proc/self/fd/%d/%s" % (descriptor, made.name)
    found = syscalls.statx(descriptor, made.name)
    if (found.uid, found.gid) != (made.uid, made.gid):
        os.chown(path, made.uid, made.gid, follow_symlinks=False)
        found = syscalls.statx(descriptor, made.name)
    inherited = xattrs_at(path)
    if inherited != made.xattrs:
        _set_xattrs(path, dict(inherited), dict(made.xattrs))
        found = syscalls.statx(descriptor, made.name)
    if found.mode != made.mode and not stat.S_ISLNK(made.mode):
        os.chmod(path, stat.S_IMODE(made.mode))


def xattrs_at(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """All extended attributes and ACLs of an object, sorted; none where there cannot be any."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    if not names:
        return ()
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(map(os.fsencode, names)))


def _set_xattrs(path: bytes, present: dict[bytes, bytes], wanted: dict[bytes, bytes]) -> None:
    for name in present.keys() - wanted.keys():
        os.removexattr(path, name, follow_symlinks=False)
    for name, value in wanted.items():
        if present.get(name) != value:
            os.setxattr(path, name, value, follow_symlinks=False)
