"""Heartbeats as bytes: what the envelope (farmd.kit.wire) carries.

    echo for the receiver   u8 kind (0 none, 1 noticed, 2 proved), u64 incarnation, u64 seq, u32 held (microseconds)
    state of the sender     the same bytes for every receiver, so they are packed once for each broadcast
    traffic of the sender   u32 accepted, u32 dropped, u32 fenced, each in packets per second; shown to people only

Integers are big-endian; lists are preceded by their length in one byte. A proposal is the only large part: a byte for
each bucket's owner and a bit for each moving bucket.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import astuple
from itertools import pairwise

from farmd.core.events import Echo, Heartbeat, NodeState, Order, Proposal, Status
from farmd.core.view import BUCKETS, Epoch, Member, View
from farmd.errors import Malformed
from farmd.kit.packing import Reader
from farmd.kit.wire import Frame
from farmd.traffic import Traffic

_ECHO = struct.Struct(">BQQI")
_HEAD = struct.Struct(">BBH")
_TRAFFIC = struct.Struct(">III")
_EPOCH = struct.Struct(">IB")
_ORDER = struct.Struct(">BIBBh")
_MEMBER = struct.Struct(">BHB")
_KEY = struct.Struct(">I")
_MOVING_BYTES = BUCKETS // 8

_READY, _DRAINING, _FIT, _FLOWS, _HOLDS, _PROPOSES, _COMMITTED = (1 << bit for bit in range(7))
_NO_WEIGHT = -1
RATE_MAX = 2**32 - 1
"""More packets in a second than any interface brings."""


def pack_echo(echo: Echo | None) -> bytes:
    """What the receiver is told about its own words."""
    if echo is None:
        return _ECHO.pack(0, 0, 0, 0)
    return _ECHO.pack(2 if echo.proved else 1, echo.incarnation, echo.seq, echo.held_us)


def pack_state(state: NodeState) -> bytes:
    """What every receiver is told about the sender."""
    flags = (
        _READY * state.ready
        | _DRAINING * state.draining
        | _FIT * state.fit
        | _FLOWS * state.flows
        | _HOLDS * state.holds
        | _PROPOSES * (state.proposal is not None)
        | _COMMITTED * (state.proposal is not None and state.proposal.committed)
    )
    return b"".join(
        (
            _HEAD.pack(state.status, flags, state.weight),
            *(_pack_epoch(epoch) for epoch in (state.installed, state.promised, state.released)),
            _pack_ids(state.members),
            _pack_ids(state.dispensable),
            bytes([len(state.failing)]),
            *(_pack_name(name) for name in state.failing),
            bytes([len(state.orders)]),
            *(_pack_order(order) for order in state.orders),
            b"" if state.proposal is None else _pack_ids(state.proposal.losers) + _pack_view(state.proposal.view),
        )
    )


def pack_traffic(traffic: Traffic) -> bytes:
    """What the sender's filter does; the same for every receiver."""
    return _TRAFFIC.pack(*(min(rate, RATE_MAX) for rate in astuple(traffic)))


def unpack(frame: Frame) -> tuple[Heartbeat, Traffic]:
    """What is in an authentic frame. Raises Malformed if the sender wrote nonsense."""
    reader = Reader(frame.payload)
    try:
        echo = read_echo(reader)
        state = _read_state(reader)
        traffic = Traffic(*reader.take(_TRAFFIC))
        reader.end()
    except (struct.error, IndexError, ValueError, AssertionError) as error:
        raise Malformed(f"node {frame.sender} sent a heartbeat that makes no sense ({error})") from None
    return Heartbeat(frame.sender, frame.incarnation, frame.seq, echo, state), traffic


def _pack_epoch(epoch: Epoch) -> bytes:
    return _EPOCH.pack(epoch.number, epoch.coordinator)


def _read_epoch(reader: Reader) -> Epoch:
    return Epoch(*reader.take(_EPOCH))


def _pack_ids(ids: Iterable[int]) -> bytes:
    ordered = bytes(sorted(ids))
    return bytes([len(ordered)]) + ordered


def _read_ids(reader: Reader) -> frozenset[int]:
    (count,) = reader.bytes(1)
    return frozenset(reader.bytes(count))


def _pack_name(name: str) -> bytes:
    text = name.encode()
    return bytes([len(text)]) + text


def _read_name(reader: Reader) -> str:
    (count,) = reader.bytes(1)
    return reader.bytes(count).decode()


def _read_failing(reader: Reader) -> tuple[str, ...]:
    names = reader.list(lambda: _read_name(reader))
    if any(one >= next_one for one, next_one in pairwise(names)):
        raise ValueError("names out of order")
    return names


def read_echo(reader: Reader) -> Echo | None:
    """What `pack_echo` has packed; ValueError if it is nonsense."""
    kind, incarnation, seq, held_us = reader.take(_ECHO)
    if kind > 2:
        raise ValueError(f"unknown echo {kind}")
    return Echo(incarnation, seq, kind == 2, held_us) if kind else None


def _pack_order(order: Order) -> bytes:
    weight = _NO_WEIGHT if order.weight is None else order.weight
    return _ORDER.pack(order.node, *order.stamp, order.drained, weight)


def _read_order(reader: Reader) -> Order:
    node, counter, by, drained, weight = reader.take(_ORDER)
    return Order(node, (counter, by), bool(drained), None if weight == _NO_WEIGHT else weight)


def _pack_view(view: View) -> bytes:
    return b"".join(
        (
            _pack_epoch(view.epoch),
            _KEY.pack(view.hash_key_id),
            _pack_ids(view.failed),
            bytes([len(view.members)]),
            *(_MEMBER.pack(member.id, member.weight, member.draining) for member in view.members),
            view.owners,
            view.moving.to_bytes(_MOVING_BYTES, "little"),
        )
    )


def _read_view(reader: Reader) -> View:
    epoch = _read_epoch(reader)
    (key,) = reader.take(_KEY)
    failed = _read_ids(reader)
    members = reader.list(lambda: _read_member(reader))
    owners = reader.bytes(BUCKETS)
    moving = int.from_bytes(reader.bytes(_MOVING_BYTES), "little")
    if not set(owners) <= {0, *(member.id for member in members)}:
        raise ValueError("a bucket belongs to no member")
    return View(epoch, members, owners, moving, failed, key)


def _read_member(reader: Reader) -> Member:
    node, weight, draining = reader.take(_MEMBER)
    return Member(node, weight, bool(draining))


def _read_state(reader: Reader) -> NodeState:
    status, flags, weight = reader.take(_HEAD)
    installed, promised, released = (_read_epoch(reader) for _ in range(3))
    members, dispensable = _read_ids(reader), _read_ids(reader)
    failing = _read_failing(reader)
    orders = reader.list(lambda: _read_order(reader))
    proposal = None
    if flags & _PROPOSES:
        losers = _read_ids(reader)
        proposal = Proposal(_read_view(reader), bool(flags & _COMMITTED), losers)
    return NodeState(
        status=Status(status),
        weight=weight,
        ready=bool(flags & _READY),
        failing=failing,
        draining=bool(flags & _DRAINING),
        fit=bool(flags & _FIT),
        flows=bool(flags & _FLOWS),
        installed=installed,
        members=members,
        promised=promised,
        holds=bool(flags & _HOLDS),
        released=released,
        dispensable=dispensable,
        orders=orders,
        proposal=proposal,
    )
