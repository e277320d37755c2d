"""A long write travels in pieces, and is answered when the last of them is acknowledged."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import cast

from mirrord.volume.link.channel import Buffer
from mirrord.volume.link.records import HEADER, Kind
from mirrord.volume.link.stream import Stream
from mirrord.volume.replication.pieces import PIECE_BYTES
from tests.mirror.resyncing import Node, Primary


class Sent:
    """A stream's end: what leaves by it."""

    full = False

    def __init__(self) -> None:
        self.writes: list[tuple[int, int, bytes]] = []
        """number, offset and content"""

    def gather(self, header: bytes, payload: Buffer) -> None:
        size, kind, _, _, seq, _, offset = HEADER.unpack(header)
        assert size == len(payload)
        if kind == Kind.WRITE:
            self.writes.append((seq, offset, bytes(payload)))

    def flush(self) -> None:
        pass


class Acknowledged(Node):
    """A node whose peer acknowledges what comes before the last piece, and later that one."""

    primary: Primary
    answered_early = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sent = Sent()

    def run_posted(self) -> None:
        super().run_posted()
        if self.sent.writes:
            replicator = self.primary.replicator
            replicator.acknowledge(self.sent.writes[-2][0])
            self.answered_early = replicator.held == 0
            replicator.acknowledge(self.sent.writes[-1][0])


def test_a_long_write_is_acknowledged_by_its_last_piece(tmp_path: Path) -> None:
    node = Acknowledged(tmp_path / "node")
    node.primary = primary = Primary(node)
    primary.make("file", stat.S_IFREG | 0o644)
    primary.replicator.link(cast(Stream, node.sent))
    primary.replicator.pair()
    content = os.urandom(2 * PIECE_BYTES + 17)
    primary.write("file", content, 5)
    assert [offset for _, offset, _ in node.sent.writes] == [5, 5 + PIECE_BYTES, 5 + 2 * PIECE_BYTES]
    assert b"".join(piece for _, _, piece in node.sent.writes) == content
    assert not node.answered_early
    primary.close()
    node.journal.close()
