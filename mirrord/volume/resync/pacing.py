"""What a resync may put into the stream: never so much that a live write would have to wait long behind it."""

from __future__ import annotations

from collections import deque

from mirrord.volume.link.records import HEADER, Kind, Record
from mirrord.volume.replication.replicator import Replicator
from mirrord.volume.resync.digests import BLOCK_BYTES, DIGEST_BYTES
from mirrord.volume.resync.records import HOLE

IN_FLIGHT_BYTES_MAX = 1 << 20
"""Of a resync's records that the peer has not carried out yet: 1 ms at 1,000 MB/s, and more than a network of 10 Gb/s
holds in half of one."""

_READ_SHARE = 4
"""What the peer has to read and compare is on its way four times as much, so that it need not wait for the next."""

_LISTING_BYTES = IN_FLIGHT_BYTES_MAX // 2
"""What a part of a listing counts for: so two of them are on their way, each of which takes the peer 1 to 4 ms."""


class Paced:
    """The replicator, as a resync sees it."""

    def __init__(self, replicator: Replicator) -> None:
        self.in_flight_bytes = 0
        self.catch_up, self.flush = replicator.catch_up, replicator.flush
        self._replicator = replicator
        self._in_flight: deque[tuple[int, int]] = deque()
        """Number and size of what was put."""

    def put(self, record: Record) -> None:
        self._replicator.put(record)
        size = HEADER.size + len(record.payload) + _work_bytes(record)
        self._in_flight.append((self._replicator.seq, size))
        self.in_flight_bytes += size

    def has_room(self) -> bool:
        """Whether more may be put now."""
        in_flight, acknowledged = self._in_flight, self._replicator.acknowledged
        while in_flight and in_flight[0][0] <= acknowledged:
            self.in_flight_bytes -= in_flight.popleft()[1]
        return self.in_flight_bytes < IN_FLIGHT_BYTES_MAX


def _work_bytes(record: Record) -> int:
    """Some records are small, and much work."""
    if record.kind == Kind.LISTING:
        return _LISTING_BYTES
    if record.kind == Kind.DIGESTS and not record.flags & HOLE:
        return len(record.payload) // DIGEST_BYTES * BLOCK_BYTES // _READ_SHARE
    return 0
