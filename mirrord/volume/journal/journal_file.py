"""The journal on the disk: frames that are only ever appended, and a file that is replaced as a whole to forget.

A disk that is full must not stop what is marked and forgotten every day. So there is a second file, whose blocks are
there already: a replacement is written into it, and then the two change names (RENAME_EXCHANGE, rename(2)). And room
for more frames is made when half of it is left, not when none is.

A frame is 16 bytes of header (magic, CRC-32 of the rest, size of the rest) and entries. Each is written by one write
and on the disk before the next one is begun, so a crash can tear the last frame only, and nobody relied on that one
yet. A damaged frame with a sound one somewhere behind it is therefore no torn end but a disk that lost something, and
the journal is not believed.

Behind the frames the file holds zeros, written ahead: an append then changes no size and no extent, and fdatasync(2)
costs one write of data instead of that and a commit of the file system's own journal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path

from mirrord.volume.files import syscalls

_FRAME = struct.Struct("<III4x")
_ENTRY = struct.Struct("<HHI")
_MAGIC = 0x4A4E_524D  # "MRNJ"
ROOM_BYTES = 1 << 18
"""How much is written ahead at a time."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Of an OSError: as soon as there is room, all is well again."""
_EXCHANGE = 2  # linux/fs.h, RENAME_EXCHANGE


class Kind(IntEnum):
    BASE = 1
    """Version of the format and what the journal counts from; the first entry of every file."""
    ZONES = 2
    GROUPS = 3
    EVERYTHING = 4
    MOVED = 5


Entry = tuple[Kind, int, bytes]
"""Kind, tree, payload."""


class Damaged(Exception):  # noqa: N818  # it says what the file is
    """The file cannot be believed; the text says why."""


def frame(entries: Iterable[Entry]) -> bytes:
    body = b"".join(_ENTRY.pack(kind, tree, len(payload)) + payload for kind, tree, payload in entries)
    return _FRAME.pack(_MAGIC, zlib.crc32(body), len(body)) + body


def read(content: bytes) -> Iterator[Entry]:
    """The entries of a file in order, up to a torn end; raises Damaged."""
    at = 0
    while (body := _body(content, at)) is not None:
        yield from _entries(body)
        at += _FRAME.size + len(body)
    if _has_frame(content, at + 1):
        raise Damaged("a part in the middle of it is damaged")


def _entries(body: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(body):
        kind, tree, size = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size + size
        if kind not in Kind.__members__.values():
            raise Damaged(f"it holds an entry of an unknown kind, {kind}")
        yield Kind(kind), tree, body[at - size : at]


def _body(content: bytes, at: int) -> bytes | None:
    if len(content) - at < _FRAME.size:
        return None
    magic, checksum, size = _FRAME.unpack_from(content, at)
    body = content[at + _FRAME.size : at + _FRAME.size + size]
    sound = magic == _MAGIC and len(body) == size and zlib.crc32(body) == checksum
    return body if sound else None


def _has_frame(content: bytes, start: int) -> bool:
    magic = _MAGIC.to_bytes(4, "little")
    at = content.find(magic, start)
    while at >= 0:
        if _body(content, at) is not None:
            return True
        at = content.find(magic, at + 1)
    return False


class JournalFile:
    """The open file; every method returns when the disk has it. Used by one thread at a time. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._end = 0
        self._room = 0
        self._settled = True
        """The disk knows which of the two files is the journal."""

    def append(self, entries: Iterable[Entry]) -> None:
        """All of them are one frame: a crash leaves all or none. If it raises, none counts."""
        self._settle()
        records = frame(entries)
        end = self._end + len(records)
        if end + ROOM_BYTES // 2 > self._room:
            self._make_room(end)
        _write(self._fd, records, self._end)
        os.fdatasync(self._fd)
        self._end, self._room = end, max(end, self._room)

    def replace(self, entries: Iterable[Entry]) -> None:
        """From now on the file holds these and nothing else; a crash leaves either the old file or the new one."""
        self._settle()  # else what is overwritten here may still be the journal on the disk
        records = frame(entries)
        fd = self._open_spare()
        try:
            room = _write_ahead(fd, records)
            spare, path = os.fsencode(self._spare), os.fsencode(self.path)
            flags = _EXCHANGE if self.path.exists() else 0
            syscalls.rename(syscalls.AT_FDCWD, spare, syscalls.AT_FDCWD, path, flags)
        except OSError:
            os.close(fd)
            raise
        self.close()
        self._fd, self._end, self._room, self._settled = fd, len(records), room, False
        self._settle()
        if not flags:
            self._reserve()

    def _settle(self) -> None:
        if not self._settled:
            syscalls.sync_folder(self.path.parent)
            self._settled = True

    def _make_room(self, end: int) -> None:
        """Not having it is no failure, as long as there is room for what is to be written now."""
        room = end + ROOM_BYTES
        with contextlib.suppress(OSError):
            _write(self._fd, bytes(room - self._room), self._room)
            self._room = room

    def _reserve(self) -> None:
        """The blocks of the next replacement."""
        with contextlib.suppress(OSError):
            fd = self._open_spare()
            try:
                _write(fd, bytes(ROOM_BYTES), 0)
            finally:
                os.close(fd)

    @property
    def _spare(self) -> Path:
        return self.path.with_suffix(".spare")

    def _open_spare(self) -> int:
        return os.open(self._spare, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write_ahead(fd: int, records: bytes) -> int:
    """These and zeros behind them, over whatever was there, onto the disk. How long the file is then: a full disk takes
    as many zeros as there were blocks."""
    had = os.fstat(fd).st_size
    room = len(records) + ROOM_BYTES
    _write(fd, records, 0)
    try:
        _write(fd, bytes(ROOM_BYTES), len(records))
    except OSError as error:
        if error.errno not in FULL:
            raise
        room = max(had, len(records))
    os.ftruncate(fd, room)
    os.fsync(fd)
    return room


def _write(fd: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
