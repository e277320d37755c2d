"""The payloads of resync's records, and their flags."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FIRST = 1
"""LISTING: the folder's listing begins (anew)."""
LAST = 2
"""LISTING, CANDIDATES: it ends; a folder's names that were not in it are to go."""
LOOK = 4
"""DIGESTS: repair nothing, tell what differs."""
HOLE = 8
"""DIGESTS: payload is a length, and there is nothing but zeros."""
KEEP = 16
"""CANDIDATES, when asking: what differs is kept before it is overwritten. Answering: the journal is not believed."""
BASE = 32
"""CHECKPOINT: both sides are equal; forget the journal, and count from the payload's base."""

WHOLE = 64
"""LISTING: every file in it is going to be compared, in this resync or in another one if this is cut off."""

OTHER = 128
"""LISTING: the folder has its name at the peer by chance, maybe: so has everything in it."""

MORE = 256
"""LISTED: some names that are to go are there yet. LISTING: nothing but to go on with that."""

LENGTH = struct.Struct("<Q")

_CANDIDATE = struct.Struct("<BHI")
_ALL = 0xFFFF_FFFF
_MADE = struct.Struct("<III")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A thing in the peer's tree that may differ: its own journal says so."""

    path: bytes
    folder: bool
    chunks: tuple[int, ...] | None = ()
    """Of a file: which 4 MiB of it; None: all."""

    def pack(self) -> bytes:
        chunks = self.chunks or ()
        count = _ALL if self.chunks is None else len(chunks)
        head = _CANDIDATE.pack(self.folder, len(self.path), count)
        return head + self.path + struct.pack(f"<{len(chunks)}Q", *chunks)


def unpack_candidates(payload: bytes) -> Iterator[Candidate]:
    at = 0
    while at < len(payload):
        folder, path_bytes, count = _CANDIDATE.unpack_from(payload, at)
        at += _CANDIDATE.size
        path, at = payload[at : at + path_bytes], at + path_bytes
        if count == _ALL:
            yield Candidate(path, bool(folder), None)
        else:
            yield Candidate(path, bool(folder), struct.unpack_from(f"<{count}Q", payload, at))
            at += 8 * count


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a part of a listing."""

    new_folders: tuple[int, ...] = ()
    new_files: tuple[int, ...] = ()
    """Made empty, or of content that nobody has compared."""
    changed_folders: tuple[int, ...] = ()
    """Whose names nobody has compared."""

    def pack(self) -> bytes:
        nodes = (*self.new_folders, *self.new_files, *self.changed_folders)
        head = _MADE.pack(len(self.new_folders), len(self.new_files), len(self.changed_folders))
        return head + struct.pack(f"<{len(nodes)}Q", *nodes)

    @classmethod
    def unpack(cls, payload: bytes) -> Outcome:
        folders, files, changed = _MADE.unpack_from(payload)
        nodes = struct.unpack_from(f"<{folders + files + changed}Q", payload, _MADE.size)
        end = folders + files
        return cls(nodes[:folders], nodes[folders:end], nodes[end:])


def pack_strings(strings: Iterable[bytes]) -> Iterator[bytes]:
    for string in strings:
        yield struct.pack("<H", len(string)) + string


def unpack_strings(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        (size,) = struct.unpack_from("<H", content, at)
        at += 2 + size
        yield content[at - size : at]


def pack_blocks(numbers: Iterable[int]) -> bytes:
    """Which of a piece's at most 64 blocks."""
    return sum(1 << number for number in numbers).to_bytes(8, "little")


def pack_looked_at(blocks: Iterable[int], length: int) -> bytes:
    """The same of a hole, and how much of it the peer has looked at."""
    return pack_blocks(blocks) + LENGTH.pack(length)


def unpack_looked_at(payload: bytes) -> int:
    length: int = LENGTH.unpack_from(payload, 8)[0]
    return length


def unpack_blocks(payload: bytes) -> list[int]:
    bits = int.from_bytes(payload[:8], "little")
    return [number for number in range(64) if bits >> number & 1]
