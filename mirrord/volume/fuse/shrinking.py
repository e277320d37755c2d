"""What takes much away from a file goes step by step, each of them a change of its own: to give back gigabytes takes
seconds, in which nobody else would be served, here and at the peer."""

from __future__ import annotations

import os

from mirrord.volume.files.freeing import LARGE_BYTES, occupied_bytes
from mirrord.volume.fuse.abi import PAGE_BYTES

STEP_BYTES = LARGE_BYTES


def next_size(descriptor: int, size: int) -> int:
    """What a file is to be cut to first, on its way to `size`."""
    status = os.fstat(descriptor)
    steps = -(-min(occupied_bytes(status), status.st_size - size) // STEP_BYTES)
    if steps <= 1:
        return size
    between = size + (status.st_size - size) * (steps - 1) // steps
    return between - between % PAGE_BYTES


def next_punch(descriptor: int, offset: int, length: int) -> tuple[int, int]:
    """Where a hole of this offset and length is to be made first. Of whole steps, so that there is no data afterwards,
    and the next one is looked for behind it."""
    try:
        at = os.lseek(descriptor, -(-offset // STEP_BYTES) * STEP_BYTES, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole until the end
        return offset, length
    at -= at % STEP_BYTES
    return (at, STEP_BYTES) if at + STEP_BYTES < offset + length else (offset, length)
