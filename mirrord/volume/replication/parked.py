"""Requests that were put aside, to be tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mirrord.volume.fuse.capture import Capture

BYTES_MAX = 8 << 20
"""With more than this put aside, no more requests are taken."""


class Parked:
    """All of a replicator's, in their order."""

    def __init__(self) -> None:
        self._requests: list[tuple[Capture, bytes]] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def full(self) -> bool:
        return self._bytes > BYTES_MAX

    def add(self, capture: Capture, message: memoryview) -> None:
        """The message is copied."""
        self._requests.append((capture, bytes(message)))
        self._bytes += len(message)

    def take(self) -> list[tuple[Capture, bytes]]:
        """All of them, which are put aside no more."""
        requests, self._requests, self._bytes = self._requests, [], 0
        return requests
