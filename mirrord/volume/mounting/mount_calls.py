"""The system calls that mount, which take no path twice: open_tree(2), move_mount(2), mount_setattr(2), mount(2)."""

from __future__ import annotations

import ctypes
import os
import struct

from mirrord.volume.files.syscalls import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, checked

_LIBC = ctypes.CDLL(None, use_errno=True)
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY = 1
_MS_PRIVATE = 1 << 18
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_ATTR = struct.Struct("<QQQQ")


def clone(path: str) -> int:
    """A detached mount of a directory, in nobody's name space: an O_PATH descriptor of its root."""
    return checked(
        _LIBC.syscall(_OPEN_TREE, AT_FDCWD, os.fsencode(path), _OPEN_TREE_CLONE | os.O_CLOEXEC | AT_SYMLINK_NOFOLLOW)
    )


def attach(detached: int, path: str, *, read_only: bool) -> None:
    """Mount a detached mount at a path, over what is mounted there.

    It is no peer of the mount that it was cloned from (mount_namespaces(7)), else what is mounted over it would be
    mounted a second time, under it. In name spaces that follow ours it appears in any case.
    """
    wanted = _ATTR.pack(_MOUNT_ATTR_RDONLY if read_only else 0, 0, _MS_PRIVATE, 0)
    checked(_LIBC.syscall(_MOUNT_SETATTR, detached, b"", AT_EMPTY_PATH, wanted, len(wanted)))
    checked(_LIBC.syscall(_MOVE_MOUNT, detached, b"", AT_FDCWD, os.fsencode(path), _MOVE_MOUNT_F_EMPTY_PATH))


def mount(source: str, path: str, kind: str, options: str) -> None:
    """mount(2), without flags: suid and devices work as they would without this mount."""
    checked(_LIBC.mount(source.encode(), os.fsencode(path), kind.encode(), ctypes.c_ulong(0), options.encode()))


def unmount(path: str, *, lazily: bool) -> None:
    """The topmost mount at a path; lazily: it goes from the path at once, and altogether when nobody uses it."""
    checked(_LIBC.umount2(os.fsencode(path), _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazily else 0)))
