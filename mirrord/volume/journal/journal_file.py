"""The journal on the disk: frames that are only ever appended, and a file that is replaced as a whole to forget.

A frame is 16 bytes of header (magic, CRC-32 of the rest, size of the rest) and entries. Each is written by one write
and on the disk before the next one is begun, so a crash can tear the last frame only, and nobody relied on that one
yet. A damaged frame with a sound one somewhere behind it is therefore no torn end but a disk that lost something, and
the journal is not believed.

Behind the frames the file holds zeros, written ahead: an append then changes no size and no extent, and fdatasync(2)
costs one write of data instead of that and a commit of the file system's own journal.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path

_FRAME = struct.Struct("<III4x")
_ENTRY = struct.Struct("<HHI")
_MAGIC = 0x4A4E_524D  # "MRNJ"
ROOM_BYTES = 1 << 18
"""How much is written ahead at a time."""


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

    def append(self, entries: Iterable[Entry]) -> None:
        """All of them are one frame: a crash leaves all or none."""
        records = frame(entries)
        if self._end + len(records) > self._room:
            self._room = self._end + len(records) + ROOM_BYTES
            _write(self._fd, records + bytes(ROOM_BYTES), self._end)
        else:
            _write(self._fd, records, self._end)
        os.fdatasync(self._fd)
        self._end += len(records)

    def replace(self, entries: Iterable[Entry]) -> None:
        """From now on the file holds these and nothing else; a crash leaves either the old file or the new one."""
        records = frame(entries)
        beside = self.path.with_suffix(".new")
        fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(fd, records + bytes(ROOM_BYTES), 0)
            os.fsync(fd)
            os.rename(beside, self.path)
            _sync_folder(self.path.parent)
        except OSError:
            os.close(fd)
            raise
        self.close()
        self._fd, self._end, self._room = fd, len(records), len(records) + ROOM_BYTES

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write(fd: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
