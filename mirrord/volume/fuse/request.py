"""One request of the kernel, and what is read from its bytes."""

from __future__ import annotations

from typing import NamedTuple


class Request(NamedTuple):
    """A request; its body is valid as long as the batch that it came with."""

    unique: int
    node: int
    uid: int
    gid: int
    body: memoryview
    message: memoryview
    """All of it, to be put aside."""

    def strings(self, at: int) -> list[bytes]:
        """The strings from a place in the body on, each of which ends with a NUL there."""
        return bytes(self.body[at:-1]).split(b"\0")
