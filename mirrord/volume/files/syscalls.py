"""System calls that Python's os module lacks, each raising OSError as it would. Linux, 64 bit."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Any, NamedTuple

_LIBC = ctypes.CDLL(None, use_errno=True)

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_EMPTY_PATH = 0x1000

UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2

_NS = 1_000_000_000
_STATX_BASIC_AND_BTIME = 0xFFF
_STATX = struct.Struct("<IIQIIIHxxQQQQqIxxxxqIxxxxqIxxxxqIxxxxIIII")
_StatxBuffer = ctypes.c_char * 256

_HANDLE_BYTES_MAX = 128
_HANDLE_SIZE, _HANDLE_TYPE = struct.Struct("<I"), struct.Struct("<i")
_FILEID_INO32_GEN = (1, 2)  # and with the parent; linux/exportfs.h
_HandleBuffer = ctypes.c_char * (_HANDLE_SIZE.size + _HANDLE_TYPE.size + _HANDLE_BYTES_MAX)

_M_MMAP_THRESHOLD = -3

_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2


def _function(name: str, *argument_types: Any, result: Any = ctypes.c_int) -> Any:
    """A function of libc; what it returns below 0 is raised as its errno."""
    function = getattr(_LIBC, name)
    function.argtypes = argument_types
    function.restype = result
    function.errcheck = checked
    return function


def checked(result: int, *_: Any) -> int:
    """What libc returned; below 0, OSError with its errno."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


_int, _long, _name, _pointer = ctypes.c_int, ctypes.c_long, ctypes.c_char_p, ctypes.c_void_p
_statx = _function("statx", _int, _name, _int, ctypes.c_uint, _pointer)
_name_to_handle_at = _function("name_to_handle_at", _int, _name, _pointer, _pointer, _int)
_open_by_handle_at = _function("open_by_handle_at", _int, _name, _int)
_getdents64 = _function("getdents64", _int, _pointer, ctypes.c_size_t, result=ctypes.c_ssize_t)
_renameat2 = _function("renameat2", _int, _name, _int, _name, ctypes.c_uint)
_linkat = _function("linkat", _int, _name, _int, _name, _int)
_utimensat = _function("utimensat", _int, _name, _pointer, _int)
_fallocate = _function("fallocate", _int, _int, _long, _long)
_syncfs = _function("syncfs", _int)
_prctl = _function("prctl", _int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_setfsuid = _function("setfsuid", ctypes.c_uint, result=ctypes.c_uint)
_setfsgid = _function("setfsgid", ctypes.c_uint, result=ctypes.c_uint)


class Attributes(NamedTuple):
    """What statx(2) says; times in seconds and nanoseconds."""

    mask: int
    blksize: int
    attributes: int
    nlink: int
    uid: int
    gid: int
    mode: int
    ino: int
    size: int
    blocks: int
    attributes_mask: int
    atime_s: int
    atime_ns: int
    btime_s: int
    btime_ns: int
    ctime_s: int
    ctime_ns: int
    mtime_s: int
    mtime_ns: int
    rdev_major: int
    rdev_minor: int
    dev_major: int
    dev_minor: int

    @property
    def times(self) -> tuple[int, int]:
        """atime and mtime in ns since 1970."""
        return self.atime_s * _NS + self.atime_ns, self.mtime_s * _NS + self.mtime_ns


def statx(folder: int, name: bytes = b"") -> Attributes:
    """Of a name in a folder, not following a symbolic link; of the descriptor itself if there is no name."""
    buffer = _StatxBuffer()
    _statx(folder, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, _STATX_BASIC_AND_BTIME, buffer)
    return Attributes._make(_STATX.unpack_from(buffer))


def statx_raw(descriptor: int) -> bytes:
    """The kernel's 256 bytes, which are FUSE's too."""
    buffer = _StatxBuffer()
    _statx(descriptor, b"", AT_EMPTY_PATH, _STATX_BASIC_AND_BTIME, buffer)
    return buffer.raw


def handle_of(folder: int, name: bytes = b"") -> bytes:
    """The handle by which an object is found again under whatever name; of the descriptor itself without a name.

    It is struct file_handle without its first field, the size: with the usual 8 bytes it takes a quarter less memory.
    """
    buffer = _HandleBuffer()
    _HANDLE_SIZE.pack_into(buffer, 0, _HANDLE_BYTES_MAX)
    mount = ctypes.c_int()
    _name_to_handle_at(folder, name, buffer, ctypes.byref(mount), AT_EMPTY_PATH)
    (size,) = _HANDLE_SIZE.unpack_from(buffer)
    return buffer.raw[_HANDLE_SIZE.size :][: _HANDLE_TYPE.size + size]


def generation_of(handle: bytes) -> int:
    """The inode's generation, where the handle says it as ext4's and most others' do (FILEID_INO32_GEN), else 0."""
    (kind,) = _HANDLE_TYPE.unpack_from(handle)
    return int.from_bytes(handle[8:12], "little") if kind in _FILEID_INO32_GEN else 0


def open_by_handle(root: int, handle: bytes, flags: int) -> int:
    """Open the object of a handle; root: a descriptor (not O_PATH) on its mount. ESTALE: it is no more."""
    size = _HANDLE_SIZE.pack(len(handle) - _HANDLE_TYPE.size)
    descriptor: int = _open_by_handle_at(root, size + handle, flags | os.O_CLOEXEC)
    return descriptor


def getdents(folder: int, size: int) -> memoryview:
    """Entries from where the descriptor stands, as linux_dirent64, at most `size` bytes; empty at the end."""
    buffer = bytearray(size)
    target = (ctypes.c_char * size).from_buffer(buffer)
    filled = _getdents64(folder, target, size)
    return memoryview(buffer)[:filled]


def rename(old_folder: int, old: bytes, new_folder: int, new: bytes, flags: int) -> None:
    """renameat2(2)."""
    _renameat2(old_folder, old, new_folder, new, flags)


def link(descriptor: int, folder: int, name: bytes) -> None:
    """Give the object of a descriptor another name."""
    _linkat(descriptor, b"", folder, name, AT_EMPTY_PATH)


def stamp(descriptor: int, atime_ns: int, mtime_ns: int) -> None:
    """Set both times, in ns since 1970."""
    set_times(descriptor, divmod(atime_ns, _NS), divmod(mtime_ns, _NS))


def set_times(descriptor: int, atime: tuple[int, int], mtime: tuple[int, int]) -> None:
    """Seconds and nanoseconds, or (0, UTIME_NOW), (0, UTIME_OMIT); works on symbolic links and O_PATH."""
    times = (ctypes.c_long * 4)(*atime, *mtime)
    _utimensat(descriptor, b"", times, AT_EMPTY_PATH)


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2)."""
    _fallocate(descriptor, mode, offset, length)


def syncfs(descriptor: int) -> None:
    """syncfs(2): everything written to this file system so far is on its disk."""
    _syncfs(descriptor)


def give_back(from_bytes: int) -> None:
    """Memory that is free goes back to the kernel: all that is now, and any piece of this size or more from now on. See
    malloc_trim(3) and mallopt(3): else this size grows with each such piece, up to 32 MB, and large ones leave holes.
    """
    _LIBC.malloc_trim(0)
    _LIBC.mallopt(_M_MMAP_THRESHOLD, from_bytes)


def keep_capabilities() -> None:
    """From now on, acting for another user (`act_as`) takes no capability from this thread."""
    _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)


def act_as(uid: int, gid: int) -> None:
    """What this thread creates belongs to these from now on."""
    _setfsuid(uid)
    _setfsgid(gid)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """fsync(2) of a folder: the names in it are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
