"""The stream's records: one header, one payload, for every change that one node tells the other.

A header is 32 bytes, little endian: payload's size, kind, tree, flags, sequence number, node id, offset. Node ids are
those of the primary (tree.py). The field `offset` is the second node id of a record about two: see `Kind`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from mirrord.volume.link import moments

HEADER = struct.Struct("<IBBHQQQ")
"""payload bytes, kind, tree, flags, seq, node, offset"""

PAYLOAD_BYTES_MAX = (1 << 20) + (1 << 16)
"""The largest WRITE, and generous room for whatever else; a longer payload is not one of ours."""


class Kind(IntEnum):
    """What a record does to `node`; `offset` is a position in bytes where nothing else is said."""

    WRITE = 1
    """payload: the content from offset on."""
    TRUNCATE = 2
    """offset: the new size."""
    MAKE = 3
    """A new object in directory `node`, known as `offset` from here on; payload: `Made`."""
    LINK = 4
    """Another name for `node`, in directory `offset`; payload: the name."""
    UNLINK = 5
    """payload: the name in directory `node`; flags: STAYS."""
    RMDIR = 6
    """payload: the name in directory `node`."""
    RENAME = 7
    """From directory `node` to directory `offset`; payload: old name, NUL, new name; flags: those of renameat2(2),
    and STAYS."""
    OWNER_AND_MODE = 8
    """payload: `OWNED`; flags: CHOWN if chown(2) was called, which also drops capabilities."""
    TIMES = 9
    """payload: atime and mtime (moments.py)."""
    SETXATTR = 10
    """payload: name, NUL, value."""
    REMOVEXATTR = 11
    """payload: the name."""
    ALLOCATE = 12
    """fallocate(2): flags: its mode; payload: `LENGTH`."""
    BIND = 20
    """In directory `node`, the object of the payload's name is known as `offset` from here on."""
    FORGET = 21
    """`node` will not be mentioned again before it is bound again."""
    FSYNC = 22
    """flags: DATA_ONLY for fdatasync(2), ALONE if the primary has nothing else to do meanwhile."""
    APPLIED = 30
    """The secondary's: everything up to this record's seq is carried out."""
    SYNCED = 31
    """The secondary's: the FSYNC of this seq is on its disk."""
    FAILED = 32
    """The secondary's last: it could not carry out seq, and leaves; payload: why, UTF-8."""
    IN_SYNC = 33
    """The primary's: from here on it answers nothing that the secondary has not acknowledged."""
    HINTS = 40
    """Resync: where things that have moved are at the peer; payload: `mirrord.volume.journal.moved.Notes`."""
    LISTING = 41
    """Resync: folder `node` is to be like the payload's entries; flags: those of `mirrord.volume.resync.records`."""
    DIGESTS = 42
    """Resync: how the content from offset on looks; payload: digests; flags: LOOK, or HOLE: none but zeros."""
    ATTRIBUTES = 43
    """Resync: what `node` is to be but for its content; payload: one entry."""
    CANDIDATES = 44
    """Resync: asks for what the peer's own journal says, and is answered by records of the same kind."""
    FINISH = 45
    """Resync: all names are right; what was put aside goes, and folders' times can be set after the answer."""
    CHECKPOINT = 46
    """All before it goes to the peer's disk, which is then answered by the same kind; offset: its number."""
    LISTED = 47
    """Answer to every part of a LISTING: payload: what the peer had to make, or what differs; flags: MORE."""
    COMPARED = 48
    """Answer to DIGESTS: payload: which blocks differ; flags: HOLE: and how much of it was looked at."""
    KEPT = 49
    """Answer: offset: how many files of a diverged side were kept so far; payload: the folder."""
    LOOK = 50
    """Verify: is folder `node` like the payload's entries? flags: FIRST and LAST, as of a listing, or none: only these
    names are asked for."""
    LOOKED = 51
    """Answer to LOOK: payload: the differences; flags: LAST, if no more of them follow."""


CHOWN = 1
STAYS = 256
"""What loses the name, or is replaced, has others: a peer that is being brought up to date may not have those yet."""
DATA_ONLY = 1
ALONE = 2

OWNED = struct.Struct("<III")
"""uid, gid, permission bits"""
LENGTH = struct.Struct("<Q")
"""bytes"""

_MADE = struct.Struct(f"<IIIQ{moments.PAIR_BYTES}sHHH")
_ATTRIBUTE = struct.Struct("<HI")


class Record(NamedTuple):
    """One record; its sequence number is given when it is put into the stream."""

    kind: int
    tree: int
    node: int
    offset: int = 0
    flags: int = 0
    payload: bytes | memoryview = b""
    seq: int = 0

    def header(self, seq: int) -> bytes:
        """The header with which this record travels."""
        return HEADER.pack(len(self.payload), self.kind, self.tree, self.flags, seq, self.node, self.offset)

    @property
    def mentions(self) -> tuple[int, ...]:
        """The nodes that the peer must know before it can carry this out."""
        match self.kind:
            case Kind.LINK | Kind.RENAME:
                return (self.node, self.offset)
            case Kind.BIND | Kind.FORGET:
                return ()
            case _:
                return (self.node,)

    @property
    def touches(self) -> tuple[int, ...]:
        """The nodes that have to be on the disk for this to be."""
        return (self.node, self.offset) if self.kind == Kind.MAKE else self.mentions


NOW = (-1, -1)
"""As times of a new object: whatever they become."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a new object is: all that the peer needs to make the same."""

    name: bytes
    mode: int
    """type and final permission bits"""
    uid: int
    gid: int
    rdev: int = 0
    """of a device, as os.makedev() makes it"""
    target: bytes = b""
    """of a symbolic link"""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    """what it was born with, such as an inherited ACL"""
    times: tuple[int, int] = NOW
    """atime and mtime in ns since 1970"""

    def pack(self) -> bytes:
        """The payload of a MAKE."""
        head = _MADE.pack(
            self.mode, self.uid, self.gid, self.rdev, moments.pack(*self.times), len(self.name), len(self.target),
            len(self.xattrs),
        )  # fmt: skip
        return b"".join((head, self.name, self.target, *_packed(self.xattrs)))

    @classmethod
    def unpack(cls, payload: bytes | memoryview) -> Made:
        """The reverse; raises struct.error on what is not a payload."""
        content = bytes(payload)
        mode, uid, gid, rdev, times, name_bytes, target_bytes, count = _MADE.unpack_from(content)
        name_end = _MADE.size + name_bytes
        target_end = name_end + target_bytes
        name, target = content[_MADE.size : name_end], content[name_end:target_end]
        xattrs = tuple(_attributes(content, target_end, count))
        return cls(name, mode, uid, gid, rdev, target, xattrs, moments.unpack_pair(times))


def _packed(xattrs: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for name, value in xattrs:
        yield _ATTRIBUTE.pack(len(name), len(value))
        yield name
        yield value


def _attributes(content: bytes, at: int, count: int) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(count):
        name_bytes, value_bytes = _ATTRIBUTE.unpack_from(content, at)
        name_at = at + _ATTRIBUTE.size
        at = name_at + name_bytes + value_bytes
        yield content[name_at : name_at + name_bytes], content[name_at + name_bytes : at]


def read(buffer: memoryview, at: int, end: int) -> tuple[Record, int] | None:
    """The record that begins at a place in a buffer filled up to `end`, and where the next begins; None: not whole yet.

    The payload is a view of the buffer. Raises ValueError on a header that cannot be one.
    """
    if end - at < HEADER.size:
        return None
    size, kind, tree, flags, seq, node, offset = HEADER.unpack_from(buffer, at)
    if size > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a payload of {size} bytes")
    content_at = at + HEADER.size
    if end - content_at < size:
        return None
    payload = buffer[content_at : content_at + size]
    return Record(kind, tree, node, offset, flags, payload, seq), content_at + size
