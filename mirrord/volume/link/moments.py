"""Times as they travel. A file's may be of any year that its file system knows, on ext4 until 2446; nanoseconds in 64
bits would end in 2262."""

from __future__ import annotations

import struct

_S = 1_000_000_000
_MOMENT = struct.Struct("<qI")
"""seconds since 1970, and the nanoseconds of the next one"""

PAIR_BYTES = 2 * _MOMENT.size


def pack(*times_ns: int) -> bytes:
    """Of times in ns since 1970."""
    return b"".join(_MOMENT.pack(*divmod(time_ns, _S)) for time_ns in times_ns)


def unpack_pair(payload: bytes | memoryview) -> tuple[int, int]:
    """The reverse; raises struct.error or ValueError on what is not two of them."""
    (first_s, first_ns), (second_s, second_ns) = _MOMENT.iter_unpack(payload)
    return first_s * _S + first_ns, second_s * _S + second_ns
