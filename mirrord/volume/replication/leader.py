"""The primary's end of one link: what the secondary says is passed to whom it concerns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mirrord.volume.link.records import Kind, Record
from mirrord.volume.link.stream import CANNOT, StreamError, said

if TYPE_CHECKING:
    from mirrord.volume.replication.replicator import Replicator
    from mirrord.volume.replication.syncing import Syncing

_APPLIED = int(Kind.APPLIED)

Handler = Callable[[Record], None]
"""Takes a record whose payload is gone when it returns."""


class Leader:
    """Takes the secondary's records."""

    def __init__(self, replicator: Replicator, syncing: Syncing, taken: Callable[[], None]) -> None:
        """taken: called after each batch."""
        self.handlers: dict[int, Handler] = {}
        """For records that are no acknowledgements."""
        self.peer_disk = False
        """The secondary could not carry out a change, and has left for it."""
        self.taken = taken
        self._replicator = replicator
        self._syncing = syncing

    def take(self, kind: int, tree: int, flags: int, seq: int, node: int, offset: int, payload: memoryview) -> None:
        if kind == _APPLIED:
            self._replicator.acknowledge(seq)
        elif kind == Kind.SYNCED:
            self._syncing.done_there(seq)
        elif kind == Kind.FAILED:
            self.peer_disk = True
            raise StreamError(f"the peer could not carry out a change: {str(payload, errors='replace')}")
        elif kind in self.handlers:
            try:
                self.handlers[kind](Record(kind, tree, node, offset, flags, payload, seq))
            except CANNOT as error:
                raise StreamError(f"the peer cannot be brought up to date: {said(error)}") from error
        else:
            raise StreamError(f"the peer sends records of an unknown kind, {kind}")
