"""Reading a message of bytes from its beginning to its end."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Reader:
    """A position in a message. What is not there raises struct.error, IndexError or ValueError."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    def take(self, shape: struct.Struct) -> tuple[int, ...]:
        """The next integers."""
        values = shape.unpack_from(self._payload, self._at)
        self._at += shape.size
        return values

    def bytes(self, count: int) -> bytes:
        """The next bytes."""
        part = self._payload[self._at : self._at + count]
        if len(part) < count:
            raise ValueError("cut off")
        self._at += count
        return part

    def list(self, item: Callable[[], T]) -> tuple[T, ...]:
        """As many items as the next byte says."""
        (count,) = self.bytes(1)
        return tuple(item() for _ in range(count))

    def end(self) -> None:
        """That nothing follows."""
        if self._at != len(self._payload):
            raise ValueError("too long")
