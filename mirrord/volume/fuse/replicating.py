"""What the capture needs of whoever brings changes to the peer: the one interface between file system and stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from mirrord.volume.link.records import Record

if TYPE_CHECKING:
    from mirrord.volume.fuse.capture import Capture


class Replicator(Protocol):
    """Takes changes in their order, has them acknowledged, answers the applications then.

    A request that changes something goes: `catch_up` (not before a write), `admits` for everything it touches, then
    the local change, then `change`; a write goes `admits`, `write`. If `admits` says no, the request is given to
    `park` and nothing else is done about it.
    """

    def admits(self, capture: Capture, node: int, offset: int = 0, length: int = 0) -> bool:
        """May this range of the node be changed now: its zones are durably marked, and changes are not held?

        length 0: its attributes, or the entries of the directory. If not, marking begins. Raises OSError(EIO) when
        this volume is fenced.
        """

    def park(self, capture: Capture, message: memoryview) -> None:
        """Keep a copy of this request, and give it to `capture.handle()` again when it may be admitted."""

    def go_on(self, capture: Capture, message: memoryview) -> None:
        """A part of this request was done: keep a copy of it, and give it to `capture.handle()` again after others."""

    def catch_up(self) -> None:
        """Carry out locally all writes taken by `write` so far."""

    def write(self, capture: Capture, node: int, offset: int, content: memoryview, unique: int) -> None:
        """Send this write, carry it out (`capture.tree.write`), answer with `capture.written` when acknowledged.

        The content is valid until this batch of requests is done.
        """

    def change(self, capture: Capture, record: Record, unique: int = 0, reply: bytes = b"") -> None:
        """A change that has been made here: send it, and answer request `unique` with the reply when acknowledged.

        unique 0: nobody waits for it. The nodes that the record mentions are bound first (`ServedTree.bindings`).
        """

    def stream(self, capture: Capture, records: Iterator[Record], unique: int, reply: bytes) -> None:
        """Many records, made while they are taken, as the stream has room for them; answered after the last."""

    def fsync(self, capture: Capture, node: int, unique: int, *, data_only: bool) -> None:
        """Bring a file or directory to both disks, then answer."""

    def forgotten(self, capture: Capture, node: int) -> None:
        """A node that the link knew (`Tree.bound`) will not be mentioned again."""
