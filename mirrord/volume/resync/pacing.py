"""What a resync may put into the stream: never so much that a live write would have to wait long behind it."""

from __future__ import annotations

from collections import deque

from mirrord.volume.link.records import HEADER, Record
from mirrord.volume.replication.replicator import Replicator

IN_FLIGHT_BYTES_MAX = 1 << 20
"""Of a resync's records that the peer has not carried out yet: 1 ms at 1,000 MB/s, and more than a network of 10 Gb/s
holds in half of one."""


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
        size = HEADER.size + len(record.payload)
        self._in_flight.append((self._replicator.seq, size))
        self.in_flight_bytes += size

    def has_room(self) -> bool:
        """Whether more may be put now."""
        in_flight, acknowledged = self._in_flight, self._replicator.acknowledged
        while in_flight and in_flight[0][0] <= acknowledged:
            self.in_flight_bytes -= in_flight.popleft()[1]
        return self.in_flight_bytes < IN_FLIGHT_BYTES_MAX
