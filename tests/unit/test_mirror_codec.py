"""A mirror's heartbeats as bytes."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farmd.core.evidence import Echo
from farmd.errors import Malformed, OtherVersion
from farmd.kit.wire import Frame
from lab.waiting import until
from mirrord import codec
from mirrord.config import Config, Mirror, Node
from mirrord.core.events import Broadcast, Received
from mirrord.core.generations import HISTORY_MAX, Condition, Generation, State
from mirrord.core.standing import Role, Word
from mirrord.heartbeats import Heartbeats
from tests.unit.ports import udp_port

generations = st.builds(Generation, st.integers(0, 2**64 - 1), st.integers(0, 255))
states = st.builds(
    State,
    generations,
    st.lists(generations, max_size=HISTORY_MAX).map(tuple),
    st.sampled_from(Condition),
    served=st.booleans(),
)
u64 = st.integers(0, 2**64 - 1)
words = st.builds(
    Word,
    role=st.sampled_from(Role),
    state=states,
    storing=st.booleans(),
    yields=st.booleans(),
    serves=st.booleans(),
    ready=st.booleans(),
    able=st.booleans(),
    asks=st.booleans(),
    follows=st.none() | generations,
    handed=st.none() | u64,
    wants_swap=st.booleans(),
    empty=st.booleans(),
    fingerprint=u64,
    protocol=st.integers(0, 65535),
)
echoes = st.none() | st.builds(Echo, u64, u64, st.booleans(), st.integers(0, 2**32 - 1))

WORD = Word(
    role=Role.PRIM,
    state=State(Generation(7, 1), (Generation(6, 2),), Condition.INSYNC, served=True),
    storing=False,
    yields=False,
    serves=True,
    ready=True,
    able=True,
    asks=False,
    follows=None,
    handed=None,
    wants_swap=False,
    empty=False,
    fingerprint=5,
    protocol=1,
)


@given(echoes, words, st.integers(-(2**63), 2**63 - 1))
def test_what_is_packed_is_unpacked(echo: Echo | None, word: Word, clock_ns: int) -> None:
    frame = Frame(3, 4, 5, codec.pack(echo, codec.pack_word(word), clock_ns))
    heartbeat, clock = codec.unpack(frame)
    assert (heartbeat.sender, heartbeat.incarnation, heartbeat.seq) == (3, 4, 5)
    assert (heartbeat.echo, heartbeat.state, clock) == (echo, word, clock_ns)


PAYLOAD = codec.pack(None, codec.pack_word(WORD), 0)


def test_what_a_newer_version_adds_is_ignored() -> None:
    heartbeat, _ = codec.unpack(Frame(1, 1, 1, PAYLOAD + b"new"))
    assert heartbeat.state == WORD


OLDEST, NEWEST = codec.LAYOUTS


@pytest.mark.parametrize("layouts", [(OLDEST, NEWEST + 1), (NEWEST, NEWEST + 5), (0, OLDEST)])
def test_one_layout_that_both_know_is_enough(layouts: tuple[int, int]) -> None:
    heartbeat, _ = codec.unpack(Frame(1, 1, 1, bytes(layouts) + PAYLOAD[2:] + b"new"))
    assert heartbeat.state == WORD


@pytest.mark.parametrize("layouts", [(NEWEST + 1, NEWEST + 2), (0, OLDEST - 1)])
def test_a_layout_that_is_not_known_is_another_version(layouts: tuple[int, int]) -> None:
    theirs, ours = (f"{oldest} to {newest}" for oldest, newest in (layouts, codec.LAYOUTS))
    with pytest.raises(OtherVersion, match=f"of layouts {theirs} and this program {ours}"):
        codec.unpack(Frame(1, 1, 1, bytes(layouts) + PAYLOAD[2:]))


@pytest.mark.parametrize("size", range(len(PAYLOAD)))
def test_a_part_of_it_makes_no_sense(size: int) -> None:
    with pytest.raises(Malformed, match="node 1 sent a heartbeat that makes no sense"):
        codec.unpack(Frame(1, 1, 1, PAYLOAD[:size]))


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_or_understood_and_nothing_else(payload: bytes) -> None:
    with contextlib.suppress(Malformed):
        codec.unpack(Frame(1, 1, 1, bytes(codec.LAYOUTS) + payload))


@pytest.fixture
def pair() -> Iterator[tuple[Heartbeats, Heartbeats]]:
    """Two nodes with two networks."""
    nodes = tuple(
        Node(number, f"n{number}", (ip_address(f"127.0.0.{number}"), ip_address(f"127.0.1.{number}")))
        for number in (1, 2)
    )
    config = Config(Mirror("db", (Path("/srv"),), (bytes(32),), port=udp_port()), nodes)
    one, other = Heartbeats(config, nodes[0], 7), Heartbeats(config, nodes[1], 8)
    yield one, other
    one.close()
    other.close()


def test_a_heartbeat_goes_over_every_network_and_tells_the_time(pair: tuple[Heartbeats, Heartbeats]) -> None:
    one, other = pair
    came: list[Received] = []
    began_ns = time.monotonic_ns()
    one.send(Broadcast(9, WORD, {2: None}))
    until(lambda: came.extend(other.receive()) or len(came) == 2, "both copies")  # type: ignore[func-returns-value]
    assert {received.heartbeat for received in came} == {came[0].heartbeat}
    assert came[0].heartbeat.state == WORD
    assert abs(came[0].clocks_apart_ns) < 1_000_000_000
    heard = other.heard_ns()
    assert list(map(str, heard)) == ["127.0.0.1", "127.0.1.1"]
    assert all(at_ns is not None and at_ns >= began_ns for at_ns in heard.values())
    assert set(one.heard_ns().values()) == {None}


def test_a_clock_that_is_ahead_is_told(pair: tuple[Heartbeats, Heartbeats], monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    ahead_ns = time.time_ns() + 3_600_000_000_000
    with monkeypatch.context() as patched:
        patched.setattr(time, "time_ns", lambda: ahead_ns)
        one.send(Broadcast(1, replace(WORD, role=Role.ALONE), {2: None}))
    came: list[Received] = []
    until(lambda: came.extend(other.receive()) or bool(came), "a heartbeat")  # type: ignore[func-returns-value]
    assert came[0].clocks_apart_ns == pytest.approx(3_600_000_000_000, abs=5_000_000_000)


def test_the_layout_is_what_the_page_says() -> None:
    """2 layouts, 21 echo, 8 clock; 21 of the word, 9 generation, 1 condition, 9 generation, 1 and 9 of the history."""
    assert len(PAYLOAD) == 2 + 21 + 8 + 21 + 9 + 1 + 9 + 1 + 9
    assert tuple(PAYLOAD[:2]) == codec.LAYOUTS
    assert struct.unpack_from(">B", PAYLOAD, 31) == (3,)
