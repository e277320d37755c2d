"""The stream between two loops of a process: whole records in order, and bounded memory when the peer does not read."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from unittest import mock

import pytest

from mirrord.volume.link import stream
from mirrord.volume.link.channel import Plain
from mirrord.volume.link.records import HEADER, PAYLOAD_BYTES_MAX, Kind, Record
from mirrord.volume.link.stream import UNSENT_BYTES_MAX, Stream, StreamError
from mirrord.volume.loop import Loop


class End:
    """A stream, and what came out of it."""

    def __init__(self, loop: Loop, connection: socket.socket) -> None:
        self.records: list[tuple[int, bytes]] = []
        self.batches = 0
        self.broken = ""
        self.rooms = 0
        self.refuse = False
        self.stream = Stream(
            Plain(connection), loop, take=self._take, taken=self._taken, room=self._room, broken=self._break
        )

    def send(self, seq: int, payload: bytes) -> None:
        record = Record(Kind.WRITE, 0, 2, 0, 0, payload)
        self.stream.gather(record.header(seq), payload)

    def _take(self, kind: int, tree: int, flags: int, seq: int, node: int, offset: int, payload: memoryview) -> None:
        if self.refuse:
            raise StreamError("it is not wanted")
        self.records.append((seq, bytes(payload)))

    def _taken(self) -> None:
        self.batches += 1

    def _room(self) -> None:
        self.rooms += 1

    def _break(self, reason: str) -> None:
        assert not self.broken, "it is told once"
        self.broken = reason


class Ends:
    """Two ends of one connection, each with a loop of its own, so that one can stand still."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        self.loops = Loop(), Loop()
        self.here, self.there = End(self.loops[0], here), End(self.loops[1], there)

    def run(self, condition: Callable[[], bool], *loops: Loop) -> None:
        """Turns of these loops, or both, until the condition holds."""
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            for loop in loops or self.loops:
                loop.after(0, loop.end)
                loop.run()


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.here.stream.close()
    ends.there.stream.close()


def test_records_arrive_whole_and_in_order(ends: Ends) -> None:
    sizes = [0, 1, 4096, PAYLOAD_BYTES_MAX, 17]
    payloads = [os.urandom(size) for size in sizes]
    for seq, payload in enumerate(payloads):
        ends.here.send(seq, payload)
    ends.here.stream.flush()
    ends.run(lambda: len(ends.there.records) == len(sizes))
    assert ends.there.records == list(enumerate(payloads))


def test_what_comes_together_is_one_batch(ends: Ends) -> None:
    for seq in range(100):
        ends.here.send(seq, b"payload")
    ends.here.stream.flush()
    ends.run(lambda: len(ends.there.records) == 100)
    assert ends.there.batches == 1


def test_after_what_took_long_the_loop_looks_after_others(ends: Ends) -> None:
    turns: list[int] = []
    with mock.patch.object(stream, "TURN_NS", -1):  # everything takes too long
        ends.there.stream._taken = lambda: turns.append(ends.loops[1].turn)
        for seq in range(5):
            ends.here.send(seq, b"payload")
        ends.here.stream.flush()
        ends.run(lambda: len(ends.there.records) == 5)
    assert ends.there.records == [(seq, b"payload") for seq in range(5)]
    assert len(set(turns)) >= 5


def test_more_buffers_than_one_call_takes(ends: Ends) -> None:
    for seq in range(3000):
        ends.here.send(seq, b"payload")
    ends.here.stream.flush()
    ends.run(lambda: len(ends.there.records) == 3000)


def test_a_peer_that_does_not_read_is_noticed_and_costs_what_was_sent(ends: Ends) -> None:
    buffer = bytearray(1 << 20)
    count = 0
    while not ends.here.stream.full:
        buffer[:8] = count.to_bytes(8, "little")
        ends.here.stream.gather(Record(Kind.WRITE, 0, 2, 0, 0, bytes(buffer)).header(count), buffer)
        ends.here.stream.flush()  # the buffer is used again at once, as those of requests are
        count += 1
    assert ends.here.stream.unsent_bytes < UNSENT_BYTES_MAX + 2 * len(buffer)
    ends.run(lambda: len(ends.there.records) == count)
    assert [int.from_bytes(payload[:8], "little") for _, payload in ends.there.records] == list(range(count))
    assert not ends.here.stream.full
    assert ends.here.rooms == 1
    assert ends.here.stream.unsent_bytes == 0


def test_the_end_of_the_peer_is_told_once(ends: Ends) -> None:
    ends.there.stream.close()
    ends.run(lambda: bool(ends.here.broken), ends.loops[0])
    assert ends.here.broken == "the peer has ended the link"
    ends.here.send(1, b"nobody")
    ends.here.stream.flush()


def test_what_we_close_ourselves_is_not_told(ends: Ends) -> None:
    ends.here.stream.close()
    ends.run(lambda: bool(ends.there.broken))
    assert not ends.here.broken


def test_who_parts_is_heard_to_the_end(ends: Ends) -> None:
    ends.there.refuse = True
    ends.here.send(1, bytes(100_000))
    ends.here.stream.flush()
    ends.there.send(2, b"why")  # before it parts, as a follower does
    ends.there.stream.flush()
    for seq in range(50):
        ends.here.send(seq, bytes(100_000))
    ends.here.stream.flush()
    ends.run(lambda: ends.here.records == [(2, b"why")])
    ends.here.stream.close()
    ends.run(lambda: bool(ends.there.broken))
    assert ends.there.broken == "it is not wanted"
    assert not ends.there.records


def test_a_record_longer_than_any_ends_the_link(ends: Ends) -> None:
    ends.here.stream.gather(HEADER.pack(PAYLOAD_BYTES_MAX + 1, 1, 0, 0, 1, 2, 0), b"")
    ends.here.stream.flush()
    ends.run(lambda: bool(ends.there.stream.parting))
    assert "longer than any of ours" in ends.there.stream.parting
