"""A write as records: a long one in pieces, so that the peer carries out the first while the last are on their way."""

from __future__ import annotations

from collections.abc import Iterator

from mirrord.volume.link.records import HEADER, Kind

PIECE_BYTES = 1 << 17

_WRITE = int(Kind.WRITE)


def pieces(tree: int, node: int, offset: int, content: memoryview, seq: int) -> Iterator[tuple[bytes, memoryview]]:
    """Headers and payloads of write number `seq`. Those before the last one go by the number before it: when that is
    acknowledged, nothing is said about them."""
    size = len(content)
    at = 0
    while size - at > PIECE_BYTES:
        header = HEADER.pack(PIECE_BYTES, _WRITE, tree, 0, seq - 1, node, offset + at)
        yield header, content[at : at + PIECE_BYTES]
        at += PIECE_BYTES
    yield HEADER.pack(size - at, _WRITE, tree, 0, seq, node, offset + at), content[at:]
