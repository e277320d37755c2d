"""The kernel's side of a FUSE mount: linux/fuse.h of protocol 7.33 to 7.41, as structs. Little endian, 64 bit."""

from __future__ import annotations

import errno
import struct
from enum import IntEnum

from mirrord.volume.files.syscalls import Attributes

MAJOR = 7
MINOR_MIN = 33
MINOR = 41

WRITE_BYTES_MAX = 1 << 20
PAGE_BYTES = 4096
REQUEST_BYTES_MAX = WRITE_BYTES_MAX + PAGE_BYTES
"""The largest request: a buffer into which one is read must hold it."""

FOREVER_S = 1 << 31
"""Names and attributes are cached for as long: nobody else changes them."""


class Op(IntEnum):
    """What a request asks for; those which are not here are answered with ENOSYS, and not asked again."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    INIT = 26
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    INTERRUPT = 36
    DESTROY = 38
    IOCTL = 39
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    TMPFILE = 51
    STATX = 52


# -- flags of INIT ---------------------------------------------------------------------------------------------------

ASYNC_READ = 1 << 0
BIG_WRITES = 1 << 5
DONT_MASK = 1 << 6
DO_READDIRPLUS = 1 << 13
READDIRPLUS_AUTO = 1 << 14
ASYNC_DIO = 1 << 15
NO_OPEN_SUPPORT = 1 << 17
PARALLEL_DIROPS = 1 << 18
POSIX_ACL = 1 << 20
MAX_PAGES = 1 << 22
CACHE_SYMLINKS = 1 << 23
NO_OPENDIR_SUPPORT = 1 << 24
HANDLE_KILLPRIV_V2 = 1 << 28
SETXATTR_EXT = 1 << 29
INIT_EXT = 1 << 30

NEEDED = (
    BIG_WRITES | DONT_MASK | POSIX_ACL | MAX_PAGES | NO_OPEN_SUPPORT | NO_OPENDIR_SUPPORT | HANDLE_KILLPRIV_V2
    | SETXATTR_EXT
)  # fmt: skip
"""Without one of these, what applications see would be slow or wrong; every kernel since 5.13 has them."""

WANTED = (
    NEEDED | ASYNC_READ | DO_READDIRPLUS | READDIRPLUS_AUTO | ASYNC_DIO | PARALLEL_DIROPS | CACHE_SYMLINKS
    | INIT_EXT
)  # fmt: skip

# -- flags of requests -----------------------------------------------------------------------------------------------

WRITE_KILL_SUIDGID = 1 << 2
SETXATTR_ACL_KILL_SGID = 1 << 0
FSYNC_DATA_ONLY = 1 << 0

SET_MODE = 1 << 0
SET_UID = 1 << 1
SET_GID = 1 << 2
SET_SIZE = 1 << 3
SET_ATIME = 1 << 4
SET_MTIME = 1 << 5
SET_FH = 1 << 6
SET_ATIME_NOW = 1 << 7
SET_MTIME_NOW = 1 << 8
SET_KILL_SUIDGID = 1 << 11
SET_ANYTHING = SET_MODE | SET_UID | SET_GID | SET_SIZE | SET_ATIME | SET_MTIME

# -- requests --------------------------------------------------------------------------------------------------------

IN = struct.Struct("<IIQQIIIHH")
"""len, opcode, unique, node id, uid, gid, pid, extensions' length / 8, padding"""
INIT_IN = struct.Struct("<IIII")
"""major, minor, max_readahead, flags"""
WRITE_IN = struct.Struct("<QQIIQII")
"""fh, offset, size, write_flags, lock_owner, flags, padding"""
READ_IN = struct.Struct("<QQI")
"""fh, offset, size: of READ, READDIR and READDIRPLUS"""
SETATTR_IN = struct.Struct("<IIQQQQQQIIIIIIII")
"""valid, padding, fh, size, lock_owner, atime, mtime, ctime, their ns, mode, unused, uid, gid, unused"""
MKNOD_IN = struct.Struct("<IIII")
"""mode, rdev, umask, padding; then the name"""
MKDIR_IN = struct.Struct("<II")
"""mode, umask; then the name"""
TMPFILE_IN = struct.Struct("<IIII")
"""flags, mode, umask, open_flags; then the name"""
NODE_IN = struct.Struct("<Q")
"""LINK's old node, RENAME's new directory, FORGET's count; the first two are followed by names"""
RENAME2_IN = struct.Struct("<QII")
"""new directory, flags, padding; then the names"""
FSYNC_IN = struct.Struct("<QII")
"""fh, fsync_flags, padding"""
SETXATTR_IN = struct.Struct("<IIII")
"""size, flags, setxattr_flags, padding; then the name and the value"""
GETXATTR_IN = struct.Struct("<II")
"""size, padding; then the name; LISTXATTR has no name"""
BATCH_FORGET_IN = struct.Struct("<II")
"""count, dummy; then as many of FORGET_ONE"""
FORGET_ONE = struct.Struct("<QQ")
"""node id, count"""
FALLOCATE_IN = struct.Struct("<QQQII")
"""fh, offset, length, mode, padding"""
LSEEK_IN = struct.Struct("<QQII")
"""fh, offset, whence, padding"""

# -- answers ---------------------------------------------------------------------------------------------------------

OUT = struct.Struct("<IiQ")
"""len, -errno, unique"""
INIT_OUT = struct.Struct("<IIIIHHIIHHIIHH20x")
"""major, minor, max_readahead, flags, max_background, congestion_threshold, max_write, time_gran, max_pages, ..."""
WRITTEN_OUT = struct.Struct("<IiQII")
"""OUT, then size and padding"""
NUMBER_OUT = struct.Struct("<II")
"""GETXATTR's and LISTXATTR's size if none was offered; padding"""
OFFSET_OUT = struct.Struct("<Q")
STATFS_OUT = struct.Struct("<QQQQQIIII24x")
"""blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, padding"""
STATX_OUT = struct.Struct("<QII16x")
"""attr_valid, its ns, flags; then 256 bytes as of statx(2)"""
OPEN_OUT = struct.Struct("<QIi")
"""fh, open_flags, backing_id"""
DIRENT = struct.Struct("<QQII")
"""ino, offset of the next, name's length, type; then the name, padded to 8"""
LINUX_DIRENT64 = struct.Struct("<QqHB")
"""ino, offset of the next, length of this, type; then the name, ended by NUL: getdents64(2)"""

_ENTRY = struct.Struct("<QQQQII")
_ATTR = struct.Struct("<QQQQQQIIIIIIIIII")
_ATTR_OUT = struct.Struct("<QII")

ENTRY_BYTES = _ENTRY.size + _ATTR.size

NO_ENTRY = _ENTRY.pack(0, 0, FOREVER_S, 0, 0, 0) + bytes(_ATTR.size)
"""There is no such name, and the kernel may remember it."""

PASS_BY = bytes(ENTRY_BYTES)
"""In READDIRPLUS: an entry of which no more is said than in READDIR."""

FOPEN_KEEP_CACHE = 1 << 1


def attr(found: Attributes) -> bytes:
    """struct fuse_attr."""
    return _ATTR.pack(
        found.ino, found.size, found.blocks, found.atime_s & _U64, found.mtime_s & _U64, found.ctime_s & _U64,
        found.atime_ns, found.mtime_ns, found.ctime_ns, found.mode, found.nlink, found.uid, found.gid,
        encoded_device(found.rdev_major, found.rdev_minor), found.blksize, 0,
    )  # fmt: skip


def entry(node: int, generation: int, found: Attributes, valid_s: int) -> bytes:
    """struct fuse_entry_out. valid_s: how long the kernel may show the attributes without asking."""
    return _ENTRY.pack(node, generation, FOREVER_S, valid_s, 0, 0) + attr(found)


def attr_out(found: Attributes, valid_s: int) -> bytes:
    """struct fuse_attr_out."""
    return _ATTR_OUT.pack(valid_s, 0, 0) + attr(found)


def failed(unique: int, code: int) -> bytes:
    """A whole answer: the request has failed with this errno."""
    return OUT.pack(OUT.size, -(code or errno.EIO), unique)


def encoded_device(major: int, minor: int) -> int:
    """A device's number as the kernel writes it in 32 bits (new_encode_dev)."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def decoded_device(encoded: int) -> tuple[int, int]:
    """Major and minor number (new_decode_dev)."""
    return (encoded & 0xFFF00) >> 8, (encoded & 0xFF) | ((encoded >> 12) & 0xFFF00)


_U64 = (1 << 64) - 1
