"""What one node tells the other about the things in a folder: all that makes them equal, but for content.

Left out: ctime and birth time, which nobody can set; atime, which reading changes on one side only.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from mirrord.volume.link import moments

_ENTRY = struct.Struct(f"<QIIIQ{moments.PAIR_BYTES}sQIHBHH")
_XATTR = struct.Struct("<BI")
_LEVEL = 1  # neighbours are alike: the fastest level makes a third of it

Xattrs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a folder, and what it stands for."""

    name: bytes
    node: int
    mode: int
    """Type and permissions, as in st_mode."""
    uid: int
    gid: int
    size: int
    """Of a file; 0 for everything else."""
    mtime_ns: int
    atime_ns: int
    rdev: int
    links: int
    target: bytes
    """Of a symbolic link."""
    xattrs: Xattrs
    """Sorted; POSIX ACLs are among them."""
    moved: bool = False
    """What has its name at the peer may be another one, since it may have got the name after both were equal. Told of
    folders, and of what has several names."""

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_linked(self) -> bool:
        """Whether it has other names, which may be anywhere."""
        return self.links > 1 and not self.is_folder

    def same_kind(self, other: Entry) -> bool:
        """Whether one of them can be made into the other: the type cannot be changed, nor what a link or device is."""
        return (
            stat.S_IFMT(self.mode) == stat.S_IFMT(other.mode)
            and self.rdev == other.rdev
            and self.target == other.target
        )

    def alike(self, other: Entry) -> bool:
        """Whether they look as if they held the same content. No proof, and never taken for one."""
        return self.same_kind(other) and self.size == other.size and self.mtime_ns == other.mtime_ns

    def pack(self) -> bytes:
        head = _ENTRY.pack(
            self.node, self.mode, self.uid, self.gid, self.size, moments.pack(self.mtime_ns, self.atime_ns), self.rdev,
            self.links, len(self.target), len(self.name), len(self.xattrs), self.moved,
        )  # fmt: skip
        pairs = (_XATTR.pack(len(name), len(value)) + name + value for name, value in self.xattrs)
        return b"".join((head, self.target, self.name, *pairs))


def read_entry(folder_fd: int, name: bytes, *, node: int = 0) -> Entry:
    """The thing of this name in the folder; node 0: its inode number. Raises OSError, if it is gone for example."""
    status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    target = os.readlink(name, dir_fd=folder_fd) if stat.S_ISLNK(status.st_mode) else b""
    return _entry(name, status, target, b"/proc/self/fd/%d/%s" % (folder_fd, name), node)


def describe(fd: int, *, node: int, name: bytes = b"") -> Entry:
    """The thing behind a descriptor, be it O_PATH, if it is no symbolic link."""
    return _entry(name, os.fstat(fd), b"", b"/proc/self/fd/%d" % fd, node)


def _entry(name: bytes, status: os.stat_result, target: bytes, path: bytes, node: int) -> Entry:
    special = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    return Entry(
        name=name,
        node=node or status.st_ino,
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if stat.S_ISREG(status.st_mode) else 0,
        mtime_ns=status.st_mtime_ns,
        atime_ns=status.st_atime_ns,
        rdev=status.st_rdev if special else 0,
        links=status.st_nlink,
        target=target,
        xattrs=read_xattrs(path, follow=not name),
    )


def read_xattrs(path: bytes, *, follow: bool) -> Xattrs:
    """All of them, sorted. An attribute that vanishes while we look is none."""
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError:
        return ()  # a file system without them, or a kind of object without them
    pairs = []
    for name in names:
        raw = os.fsencode(name)
        try:
            pairs.append((raw, os.getxattr(path, raw, follow_symlinks=follow)))
        except OSError:
            continue
    return tuple(sorted(pairs))


def pack_entries(entries: Iterable[Entry]) -> bytes:
    return zlib.compress(b"".join(entry.pack() for entry in entries), _LEVEL)


def unpack_entries(payload: bytes | memoryview) -> Iterator[Entry]:
    """The reverse; raises struct.error or zlib.error on what is not a payload."""
    content = zlib.decompress(payload)
    at = 0
    while at < len(content):
        fixed = _ENTRY.unpack_from(content, at)
        node, mode, uid, gid, size, times, rdev, links, target_bytes, name_bytes, count, moved = fixed
        at += _ENTRY.size
        target, at = content[at : at + target_bytes], at + target_bytes
        name, at = content[at : at + name_bytes], at + name_bytes
        pairs = []
        for _ in range(count):
            key_bytes, value_bytes = _XATTR.unpack_from(content, at)
            at += _XATTR.size
            pairs.append((content[at : at + key_bytes], content[at + key_bytes : at + key_bytes + value_bytes]))
            at += key_bytes + value_bytes
        mtime, atime = moments.unpack_pair(times)
        yield Entry(name, node, mode, uid, gid, size, mtime, atime, rdev, links, target, tuple(pairs), bool(moved))


def differences(ours: Entry, wanted: Entry) -> Sequence[str]:
    """In words what of our thing is not as it should be, content aside. Times of folders are not looked at."""
    wanted_here = replace(wanted, node=ours.node, atime_ns=ours.atime_ns, links=ours.links, moved=ours.moved)
    if ours == wanted_here:
        return ()
    pairs = {
        "type": (stat.S_IFMT(ours.mode), stat.S_IFMT(wanted.mode)),
        "permissions": (stat.S_IMODE(ours.mode), stat.S_IMODE(wanted.mode)),
        "owner": ((ours.uid, ours.gid), (wanted.uid, wanted.gid)),
        "size": (ours.size, wanted.size),
        "device": (ours.rdev, wanted.rdev),
        "target": (ours.target, wanted.target),
        "extended attributes": (ours.xattrs, wanted.xattrs),
        "modification time": (ours.mtime_ns, wanted.mtime_ns),
    }
    return [word for word, (here, there) in pairs.items() if here != there]
