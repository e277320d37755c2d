"""The calls that are tried, by name: those of one path, and those of two."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.posix import calls
from tests.posix.situations import OWNER

WHITEOUT = 4
"""RENAME_WHITEOUT of renameat2(2)."""


@contextmanager
def opened(path: bytes, flags: int = os.O_WRONLY) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o6666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def opening(flags: int) -> Callable[[bytes], object]:
    def carry_out(path: bytes) -> object:
        with opened(path, flags) as descriptor:
            return stat.S_IFMT(os.fstat(descriptor).st_mode)

    return carry_out


def chmod(mode: int) -> Callable[[bytes], object]:
    return lambda path: os.chmod(path, mode)


def chown(user: int, group: int, *, follow: bool = True) -> Callable[[bytes], object]:
    return lambda path: os.chown(path, user, group, follow_symlinks=follow)


def mknod(kind: int) -> Callable[[bytes], object]:
    return lambda path: os.mknod(path, kind | 0o666, os.makedev(1, 3) if kind == stat.S_IFCHR else 0)


def truncate(size: int) -> Callable[[bytes], object]:
    return lambda path: os.truncate(path, size)


def truncate_far(path: bytes) -> None:
    """And back, where a file may be so large: nobody is to read all of it."""
    os.truncate(path, 1 << 62)
    os.truncate(path, 10)


def ftruncate(size: int) -> Callable[[bytes], object]:
    def carry_out(path: bytes) -> None:
        with opened(path) as descriptor:
            os.ftruncate(descriptor, size)

    return carry_out


def write(content: bytes, flags: int = 0) -> Callable[[bytes], object]:
    def carry_out(path: bytes) -> object:
        with opened(path, os.O_WRONLY | flags) as descriptor:
            return os.write(descriptor, content)

    return carry_out


def fallocate(mode: int, offset: int, length: int) -> Callable[[bytes], object]:
    def carry_out(path: bytes) -> None:
        with opened(path) as descriptor:
            calls.fallocate(descriptor, mode, offset, length)

    return carry_out


def utime(atime_ns: int, mtime_ns: int, *, follow: bool = True) -> Callable[[bytes], object]:
    def carry_out(path: bytes) -> object:
        os.utime(path, ns=(atime_ns, mtime_ns), follow_symlinks=follow)
        found = os.stat(path, follow_symlinks=follow)
        return found.st_atime_ns == atime_ns, found.st_mtime_ns == mtime_ns

    return carry_out


def remove_held(path: bytes) -> object:
    """Unlinked, written and truncated while it is open."""
    with opened(path, os.O_RDWR) as descriptor:
        os.unlink(path)
        os.write(descriptor, b"longer than ten bytes")
        os.ftruncate(descriptor, 15)
        os.fchmod(descriptor, 0o640)
        found = os.fstat(descriptor)
        return found.st_nlink, found.st_size, oct(found.st_mode), os.pread(descriptor, 100, 0)


def rights(path: bytes) -> object:
    return [os.access(path, mode, effective_ids=True) for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)]


def set_acl(path: bytes) -> None:
    os.setxattr(path, b"system.posix_acl_access", calls.acl(6, 1001, 4, 4, 5, 0))


def renaming(flags: int) -> Callable[[bytes, bytes], object]:
    return lambda old, new: calls.rename(old, new, flags)


SINGLE: dict[str, Callable[[bytes], object]] = {
    "chmod 0600": chmod(0o600),
    "chmod 7777": chmod(0o7777),
    "chmod 2755": chmod(0o2755),
    "chown nobody": chown(-1, -1),
    "chown to the owner": chown(OWNER, OWNER),
    "chown to another": chown(1001, -1),
    "chgrp to another": chown(-1, 1002),
    "lchown to the owner": chown(OWNER, OWNER, follow=False),
    "mkdir 0777": lambda path: os.mkdir(path, 0o777),
    "mkdir 3750": lambda path: os.mkdir(path, 0o3750),
    "mkfifo": mknod(stat.S_IFIFO),
    "mknod file": mknod(stat.S_IFREG),
    "mknod device": mknod(stat.S_IFCHR),
    "mknod socket": mknod(stat.S_IFSOCK),
    "symlink": lambda path: os.symlink(b"somewhere", path),
    "symlink of nothing": lambda path: os.symlink(b"", path),
    "symlink of 4095 bytes": lambda path: os.symlink(b"t" * 4095, path),
    "symlink of 4096 bytes": lambda path: os.symlink(b"t" * 4096, path),
    "readlink": os.readlink,
    "rmdir": os.rmdir,
    "unlink": os.unlink,
    "unlink while open": remove_held,
    "truncate 0": truncate(0),
    "truncate to the same": truncate(10),
    "truncate 12345": truncate(12345),
    "truncate -1": truncate(-1),
    "truncate 2^62": truncate_far,
    "ftruncate 0": ftruncate(0),
    "ftruncate to the same": ftruncate(10),
    "open": opening(os.O_RDONLY),
    "open to write": opening(os.O_WRONLY),
    "open for both": opening(os.O_RDWR),
    "open to append": opening(os.O_WRONLY | os.O_APPEND),
    "open what is or is made": opening(os.O_RDWR | os.O_CREAT),
    "open to make": opening(os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    "open to make, read-only": opening(os.O_RDONLY | os.O_CREAT),
    "open to truncate": opening(os.O_WRONLY | os.O_TRUNC),
    "open to make or truncate": opening(os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    "open to truncate, read-only": opening(os.O_RDONLY | os.O_TRUNC),
    "open folder": opening(os.O_RDONLY | os.O_DIRECTORY),
    "open no symlink": opening(os.O_RDONLY | os.O_NOFOLLOW),
    "open to make, no symlink": opening(os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW),
    "open the path": opening(os.O_PATH | os.O_NOFOLLOW),
    "open without atime": opening(os.O_RDONLY | os.O_NOATIME),
    "open past the cache": opening(os.O_RDONLY | os.O_DIRECT),
    "open without a name": opening(os.O_RDWR | os.O_TMPFILE),
    "write": write(b"!"),
    "write nothing": write(b""),
    "append": write(b"!", os.O_APPEND),
    "fallocate": fallocate(0, 0, 20),
    "fallocate inside": fallocate(0, 0, 5),
    "fallocate, size kept": fallocate(calls.FALLOC_FL_KEEP_SIZE, 5, 50000),
    "fallocate nothing": fallocate(0, 0, 0),
    "fallocate from -1": fallocate(0, -1, 10),
    "punch": fallocate(calls.FALLOC_FL_PUNCH_HOLE | calls.FALLOC_FL_KEEP_SIZE, 2, 3),
    "zero": fallocate(calls.FALLOC_FL_ZERO_RANGE, 2, 30),
    "utime now": lambda path: os.utime(path),
    "utime": utime(10**18 + 1, 10**18 + 2),
    "utime before 1970": utime(-(10**18) - 1, -(10**18) - 2),
    "utime of a symlink": utime(10**18 + 1, 10**18 + 2, follow=False),
    "access": rights,
    "set attribute": lambda path: os.setxattr(path, b"user.one", b"1"),
    "replace attribute": lambda path: os.setxattr(path, b"user.one", b"2", os.XATTR_REPLACE),
    "make attribute": lambda path: os.setxattr(path, b"user.one", b"2", os.XATTR_CREATE),
    "set trusted attribute": lambda path: os.setxattr(path, b"trusted.one", b"1"),
    "set attribute of a symlink": lambda path: os.setxattr(path, b"user.one", b"1", follow_symlinks=False),
    "set unknown attribute": lambda path: os.setxattr(path, b"nonsense.one", b"1"),
    "set long attribute": lambda path: os.setxattr(path, b"user." + b"n" * 255, b"1"),
    "set large attribute": lambda path: os.setxattr(path, b"user.one", b"1" * 65537),
    "get attribute": lambda path: os.getxattr(path, b"user.one"),
    "list attributes": lambda path: sorted(os.listxattr(path)),
    "remove attribute": lambda path: os.removexattr(path, b"user.one"),
    "set ACL": set_acl,
    "remove ACL": lambda path: os.removexattr(path, b"system.posix_acl_access"),
    "list folder": lambda path: sorted(os.listdir(path)),
    "change to": lambda path: os.stat(path + b"/.").st_mode,
}

PAIRS: dict[str, Callable[[bytes, bytes], object]] = {
    "rename": os.rename,
    "rename to what is not": renaming(calls.RENAME_NOREPLACE),
    "exchange": renaming(calls.RENAME_EXCHANGE),
    "rename with a whiteout": renaming(WHITEOUT),
    "exchange with a whiteout": renaming(calls.RENAME_EXCHANGE | WHITEOUT),
    "link": lambda old, new: os.link(old, new, follow_symlinks=False),
    "link what is followed": lambda old, new: calls.link(old, new),
}
