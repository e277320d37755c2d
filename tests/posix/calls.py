"""System calls that Python has no words for."""

from __future__ import annotations

import ctypes
import os
import struct

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE = 0x01, 0x02, 0x10
AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2)."""
    _checked(_libc.fallocate(descriptor, mode, offset, length))


def rename(old: bytes, new: bytes, flags: int) -> None:
    """renameat2(2)."""
    _checked(_libc.renameat2(AT_FDCWD, old, AT_FDCWD, new, flags))


def link(old: bytes, new: bytes) -> None:
    """linkat(2) with AT_SYMLINK_FOLLOW, which Python's os.link has not."""
    _checked(_libc.linkat(AT_FDCWD, old, AT_FDCWD, new, AT_SYMLINK_FOLLOW))


def link_open(descriptor: int, path: bytes) -> None:
    """Give an open file a name."""
    link(b"/proc/self/fd/%d" % descriptor, path)


def acl(owner: int, user: int, user_rights: int, group: int, mask: int, other: int) -> bytes:
    """An access control list as its extended attribute has it (linux/posix_acl_xattr.h): one named user."""
    nobody = 0xFFFFFFFF
    entries = [(0x01, owner, nobody), (0x02, user_rights, user), (0x04, group, nobody), (0x10, mask, nobody),
               (0x20, other, nobody)]  # fmt: skip
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _checked(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
