"""Comparing one file's content with the peer's, at the primary, while applications go on writing to it.

Digests say how a part is when their record is put into the stream. What the peer then finds to differ is sent with the
content that it has when it is sent; changes in between have been sent too, in their order, so both ends are equal
whatever happened. Holes are told for the whole file, also where nothing is marked: a file that has taken the place of
another one has nothing there, and nothing was ever written that could have marked it.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator

from mirrord.core.zones import CHUNK_BITS, CHUNK_BYTES
from mirrord.volume.link.records import Kind, Record
from mirrord.volume.resync.digests import BLOCK_BYTES, PIECE_BYTES, digests, next_data
from mirrord.volume.resync.records import HOLE, LENGTH, LOOK, unpack_blocks, unpack_looked_at

HOLE_BYTES = 1 << 22
"""So much of a hole is one question among others. A larger one is one question as well, and waited for: the peer may
have zeros there, which it has to read, so it says how far it has come."""


class FileComparison:
    """One file's. `fd` is this comparison's to close."""

    def __init__(
        self, tree: int, node: int, fd: int, chunks: set[int] | None, buffer: memoryview, *, look: bool = False,
        piece_bytes: int = PIECE_BYTES,
    ) -> None:  # fmt: skip
        """chunks: which 4 MiB pieces may differ; None: all. look: nothing is to be repaired. piece_bytes: how much each
        question is about."""
        self.node = node
        self.asked_all = False
        self.repaired = False
        """Some of it was sent, so its times have to be told again."""
        self.differs = False
        self.lost = False
        """It still exists, but nobody could say where, so the peer could not be told which one is meant."""
        self.wanted: list[tuple[int, int]] = []
        """What the peer asks for: start and end."""
        self._asked_bytes: deque[int] = deque()
        """How much each question is about that is not answered."""
        self._tree = tree
        self.fd = fd
        self._chunks = None if chunks is None else sorted(chunks)
        self._looked_to = 0
        """How far the peer has come in the hole that it was asked about last."""
        self._buffer = buffer
        self._look = look
        self._piece_bytes = piece_bytes

    def close(self) -> None:
        os.close(self.fd)

    def give_up(self, *, asked: bool = True) -> None:
        """Nothing is asked any more, nor sent. Not `asked`: nor is the question taken last."""
        if not asked:
            self._asked_bytes.pop()
        self.asked_all = self.lost = True
        self.wanted.clear()

    @property
    def unanswered(self) -> int:
        return len(self._asked_bytes)

    @property
    def ended(self) -> bool:
        return self.asked_all and not self.unanswered and not self.wanted

    @property
    def exists(self) -> bool:
        """Whether it still has a name."""
        return os.fstat(self.fd).st_nlink > 0

    @property
    def linked(self) -> bool:
        """Whether it has several names."""
        return os.fstat(self.fd).st_nlink > 1

    def questions(self) -> Iterator[Record | None]:
        """A record for each part; the reading is done when it is taken, and it must be put into the stream at once.
        None: the next one depends on an answer."""
        flags, at = LOOK * self._look, 0
        while at < (size := os.fstat(self.fd).st_size):
            data = next_data(self.fd, at)
            hole_end = size if data is None else min(data - data % BLOCK_BYTES, size)
            if hole_end > at:
                self._asked_bytes.append(hole_end - at)
                length = LENGTH.pack(hole_end - at)
                yield Record(Kind.DIGESTS, self._tree, self.node, at, flags | HOLE, length)
                while hole_end - at > HOLE_BYTES and self.unanswered:
                    yield None
                at = self._looked_to if hole_end - at > HOLE_BYTES else hole_end
            elif data is not None and self._is_marked(at):
                end = min(at - at % self._piece_bytes + self._piece_bytes, self._data_end(data))
                self._asked_bytes.append(end - at)
                found = digests(self.fd, at, end, self._buffer)
                yield Record(Kind.DIGESTS, self._tree, self.node, at, flags, found)
                at = end
            else:
                assert data is not None
                at = self._next_place(at, data)
        self.asked_all = True

    def answered(self, record: Record) -> int:
        """The peer has compared; returns how many bytes were equal."""
        asked, wanted = self._asked_bytes.popleft(), 0
        if record.flags & HOLE:
            asked = unpack_looked_at(bytes(record.payload))
            self._looked_to = record.offset + asked
        for number in unpack_blocks(bytes(record.payload)) if not self.lost else ():
            start = record.offset + number * BLOCK_BYTES
            if not self._look:
                self._want(start, start + BLOCK_BYTES)
            wanted += BLOCK_BYTES
        self.differs = self.differs or wanted > 0
        return max(0, asked - wanted)

    def sendings(self) -> Iterator[Record]:
        """What the peer wants, as it is when it is taken."""
        while self.wanted:
            start, end = self.wanted.pop(0)
            content = os.pread(self.fd, end - start, start)
            if content:
                self.repaired = True
                yield Record(Kind.WRITE, self._tree, self.node, start, 0, content)

    def _want(self, start: int, end: int) -> None:
        if self.wanted and self.wanted[-1][1] == start and end - self.wanted[-1][0] <= PIECE_BYTES:
            self.wanted[-1] = self.wanted[-1][0], end
        else:
            self.wanted.append((start, end))

    def _is_marked(self, at: int) -> bool:
        return self._chunks is None or self._next_chunk(at) == at >> CHUNK_BITS

    def _data_end(self, data: int) -> int:
        """Where the next hole behind this data begins, rounded up to whole blocks."""
        end = os.lseek(self.fd, data, os.SEEK_HOLE)
        return end + -end % BLOCK_BYTES

    def _next_place(self, at: int, data: int) -> int:
        """From a place where nothing is marked: the next marked chunk or hole, whichever comes first."""
        hole, marked = self._data_end(data), self._next_chunk(at)
        return hole if marked is None else min(hole, marked * CHUNK_BYTES)

    def _next_chunk(self, at: int) -> int | None:
        """The first marked one of those in which this place and what is behind it are."""
        assert self._chunks is not None
        number = bisect_left(self._chunks, at >> CHUNK_BITS)
        return self._chunks[number] if number < len(self._chunks) else None
