"""Comparing content without sending it: blocks of 64 KiB, 16 bytes for each.

SHA-256, cut to its first half: seen at 1,900 MB/s on a processor with SHA extensions (BLAKE2b 840, MD5 844), and no
user of the file system can write two blocks that are taken for one another. A block without a byte other than zero has
no digest: the peer sees for itself whether it has anything else there, and makes a hole if so. A gigabyte without a
difference costs 256 KiB.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator

BLOCK_BYTES = 1 << 16
DIGEST_BYTES = 16
PIECE_BYTES = 1 << 20
"""What one record compares: about 1 ms at each end."""

ZERO_DIGEST = bytes(DIGEST_BYTES)
_ZEROS = bytes(BLOCK_BYTES)


def digest(block: memoryview) -> bytes:
    """Of up to 64 KiB; all zero for nothing but zeros."""
    if block == _ZEROS[: len(block)]:
        return ZERO_DIGEST
    return hashlib.sha256(block).digest()[:DIGEST_BYTES]


def digests(fd: int, start: int, end: int, buffer: memoryview) -> bytes:
    """Of the blocks of a file from `start` to `end`, at most a piece; those that are a hole are not read.

    Bytes behind the end of the file count as none, so the last block may be short, and blocks behind it have no digest.
    """
    found = bytearray()
    for at, has_data in _blocks(fd, start, end):
        if not has_data:
            found += ZERO_DIGEST
            continue
        count = os.preadv(fd, [buffer[: min(BLOCK_BYTES, end - at)]], at)
        found += digest(buffer[:count])
    return bytes(found)


def _blocks(fd: int, start: int, end: int) -> Iterator[tuple[int, bool]]:
    """Where each block begins, and whether anything but a hole may be in it."""
    end = min(end, os.fstat(fd).st_size)
    data = next_data(fd, start)
    for at in range(start, end, BLOCK_BYTES):
        if data is not None and data < at:
            data = next_data(fd, at)
        yield at, data is not None and data < at + BLOCK_BYTES


def next_data(fd: int, at: int) -> int | None:
    """Where the first data at or behind this place begins; None: nothing but a hole follows."""
    try:
        return os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def differing(ours: bytes, theirs: bytes) -> list[int]:
    """The numbers of the blocks that are not equal, a block that one side does not have included."""
    count = max(len(ours), len(theirs)) // DIGEST_BYTES
    cut = [slice(number * DIGEST_BYTES, (number + 1) * DIGEST_BYTES) for number in range(count)]
    return [number for number, at in enumerate(cut) if ours[at] != theirs[at]]


def is_hole(digests: bytes, number: int) -> bool:
    """Whether this block has nothing but zeros."""
    return digests[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES] == ZERO_DIGEST
