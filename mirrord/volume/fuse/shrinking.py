"""What takes much away from a file goes step by step, each of them a change of its own: to give back gigabytes takes
seconds, in which nobody else would be served, here and at the peer."""

from __future__ import annotations

import os

from mirrord.volume.files.freeing import occupied_bytes

STEP_BYTES = 16 << 20
"""Some 5 ms for what is in memory, and 20 for what is on its way to the disk."""

_ALIGNED_BYTES = 1 << 16
"""No file system has larger blocks."""


def next_size(descriptor: int, size: int) -> int:
    """What a file is to be cut to first, on its way to `size`."""
    status = os.fstat(descriptor)
    end, occupied = status.st_size, occupied_bytes(status)
    while (steps := _steps(occupied, end - size)) > 1:
        between = size + (end - size) * (steps - 1) // steps
        between -= between % _ALIGNED_BYTES
        if _next_data(descriptor, between) is not None:
            return between
        end = between
    return size


def next_punch(descriptor: int, offset: int, length: int) -> tuple[int, int]:
    """Where a hole of this offset and length is to be made first: of whole blocks, so that there is no data afterwards,
    and the next one is looked for behind it."""
    at = _next_data(descriptor, -(-offset // _ALIGNED_BYTES) * _ALIGNED_BYTES)
    if at is None:
        return offset, length
    at -= at % _ALIGNED_BYTES
    status = os.fstat(descriptor)
    rest = min(offset + length, status.st_size) - at
    steps = _steps(occupied_bytes(status), rest)
    return (at, rest // steps // _ALIGNED_BYTES * _ALIGNED_BYTES) if steps > 1 else (offset, length)


def _steps(occupied: int, length: int) -> int:
    return -(-min(occupied, length) // STEP_BYTES)


def _next_data(descriptor: int, start: int) -> int | None:
    try:
        return os.lseek(descriptor, start, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole until the end
        return None
