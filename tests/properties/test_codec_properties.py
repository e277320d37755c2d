"""Heartbeats under any input: every state survives the wire, and no bytes of others do harm."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from farmd import codec
from farmd.core.events import Echo, NodeState, Order, Proposal, Status
from farmd.core.view import BUCKETS, Epoch, Member, View
from farmd.errors import Malformed
from farmd.kit.wire import Frame
from farmd.traffic import Traffic

nodes = st.integers(1, 255)
node_sets = st.frozensets(nodes, max_size=32)
weights = st.integers(0, 1000)
counters = st.integers(0, 2**32 - 1)
words = st.integers(0, 2**64 - 1)
epochs = st.builds(Epoch, counters, st.integers(0, 255))
members = st.lists(st.builds(Member, nodes, weights, st.booleans()), max_size=32, unique_by=lambda member: member.id)
orders = st.builds(Order, nodes, st.tuples(counters, nodes), st.booleans(), st.none() | weights)
echoes = st.none() | st.builds(Echo, words, words, st.booleans(), counters)
traffics = st.builds(Traffic, counters, counters, counters)


@st.composite
def views(draw: st.DrawFn) -> View:
    of = tuple(draw(members))
    pattern = draw(st.lists(st.sampled_from([0, *(member.id for member in of)]), min_size=1, max_size=8))
    owners = bytes((pattern * BUCKETS)[:BUCKETS])
    moving = draw(st.integers(0, 2**BUCKETS - 1))
    return View(draw(epochs), of, owners, moving, draw(node_sets), draw(counters))


states = st.builds(
    NodeState,
    status=st.sampled_from(Status),
    weight=weights,
    ready=st.booleans(),
    failing=st.sets(st.text(max_size=20), max_size=8).map(lambda names: tuple(sorted(names))),
    draining=st.booleans(),
    fit=st.booleans(),
    flows=st.booleans(),
    installed=epochs,
    members=node_sets,
    promised=epochs,
    holds=st.booleans(),
    released=epochs,
    dispensable=node_sets,
    orders=st.lists(orders, max_size=32).map(tuple),
    proposal=st.none() | st.builds(Proposal, views(), st.booleans(), node_sets),
)


def packed(echo: Echo | None, state: NodeState, traffic: Traffic) -> bytes:
    return codec.pack_echo(echo) + codec.pack_state(state) + codec.pack_traffic(traffic)


@given(echoes, states, traffics)
def test_every_state_survives_the_wire(echo: Echo | None, state: NodeState, traffic: Traffic) -> None:
    heartbeat, told = codec.unpack(Frame(1, 2, 3, packed(echo, state, traffic)))
    assert heartbeat.state == state
    assert heartbeat.echo == echo
    assert told == traffic


@given(st.binary(max_size=2000))
def test_arbitrary_bytes_are_understood_or_malformed(payload: bytes) -> None:
    with contextlib.suppress(Malformed):
        codec.unpack(Frame(1, 2, 3, payload))


@given(echoes, states, traffics, st.data())
def test_damaged_heartbeats_are_understood_or_malformed(
    echo: Echo | None, state: NodeState, traffic: Traffic, data: st.DataObject
) -> None:
    payload = bytearray(packed(echo, state, traffic))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    for bytes_ in (payload, payload[:cut]):
        with contextlib.suppress(Malformed):
            codec.unpack(Frame(1, 2, 3, bytes(bytes_)))
