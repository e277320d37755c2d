"""A heartbeat's bytes: the documented layout, and how small it is when nothing happens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farmd import codec
from farmd.core.events import Echo, NodeState, Order, Proposal, Status
from farmd.core.view import BUCKETS, Epoch, Member, View
from farmd.errors import Malformed
from farmd.kit.wire import Frame
from farmd.traffic import Traffic
from tests.unit.states import JOINING, committed, up, view_of

VIEW = View(Epoch(3, 1), (Member(1, 100), Member(2, 7, True)), bytes([1]) * BUCKETS, 5, frozenset({9}), 0xABCD)
STATE = replace(
    up(VIEW),
    status=Status.DRAINING,
    weight=70,
    ready=False,
    failing=("db", "nginx"),
    draining=True,
    flows=True,
    holds=True,
    released=Epoch(2, 2),
    dispensable=frozenset({9, 4}),
    orders=(Order(2, (8, 1), True, None), Order(3, (9, 2), False, 0)),
)
TRAFFIC = Traffic(70_000, 2, 1)
STATE_AT = len(codec.pack_echo(None))
PROPOSAL_AT = STATE_AT + len(codec.pack_state(STATE))
PAYLOAD_BYTES = 1400
"""What fits into one Ethernet frame with its envelope and IPv6 or a tunnel around it."""


def packed(state: NodeState, echo: Echo | None = None, traffic: Traffic = TRAFFIC) -> bytes:
    return codec.pack_echo(echo) + codec.pack_state(state) + codec.pack_traffic(traffic)


def frame(payload: bytes) -> Frame:
    return Frame(sender=2, incarnation=5, seq=6, payload=payload)


def test_what_is_packed_is_unpacked() -> None:
    state = replace(STATE, proposal=committed(VIEW, 1, 2))
    heartbeat, traffic = codec.unpack(frame(packed(state, Echo(4, 7, held_us=9), TRAFFIC)))
    assert (heartbeat.sender, heartbeat.incarnation, heartbeat.seq) == (2, 5, 6)
    assert heartbeat.echo == Echo(4, 7, held_us=9)
    assert heartbeat.state == state
    assert traffic == TRAFFIC


@pytest.mark.parametrize("echo", [None, Echo(4, 7), Echo(4, 7, proved=False)])
def test_an_echo_says_whether_its_receiver_is_proved(echo: Echo | None) -> None:
    assert codec.unpack(frame(packed(JOINING, echo)))[0].echo == echo


def test_the_layout_is_the_documented_one() -> None:
    assert codec.pack_echo(Echo(1, 2, held_us=3)) == bytes.fromhex("02 0000000000000001 0000000000000002 00000003")
    assert codec.pack_traffic(Traffic(1, 2, 3)) == bytes.fromhex("00000001 00000002 00000003")
    state = replace(JOINING, weight=300, installed=Epoch(1, 2), members=frozenset({3, 1}), failing=("db",))
    assert codec.pack_state(state) == (
        bytes.fromhex("00 05 012c")  # status, flags (ready, fit), weight
        + bytes.fromhex("00000001 02  00000000 00  00000000 00")  # installed, promised, released
        + bytes.fromhex("02 01 03  00  01 02 6462  00")  # members, dispensable, failing, orders
    )


def test_a_quiet_heartbeat_is_small_and_a_proposal_fits_into_one_packet() -> None:
    farm = view_of(Epoch(9, 1), *range(1, 33))
    assert len(packed(up(farm))) < 110
    assert len(packed(up(farm, proposal=committed(farm, 1)))) < PAYLOAD_BYTES


@pytest.mark.parametrize("length", [0, 1, 16, 17, 20, 40, PROPOSAL_AT, PROPOSAL_AT + 500, -1])
def test_what_is_cut_off_is_malformed(length: int) -> None:
    whole = packed(replace(STATE, proposal=Proposal(VIEW, False, frozenset())))
    with pytest.raises(Malformed, match="node 2"):
        codec.unpack(frame(whole[:length]))


def test_what_goes_on_after_its_end_is_malformed() -> None:
    with pytest.raises(Malformed):
        codec.unpack(frame(packed(STATE) + b"\0"))


def test_an_unknown_echo_is_malformed() -> None:
    with pytest.raises(Malformed):
        codec.unpack(frame(b"\3" + packed(STATE)[1:]))


def test_an_unknown_status_is_malformed() -> None:
    with pytest.raises(Malformed):
        codec.unpack(frame(packed(STATE)[:STATE_AT] + b"\x63" + packed(STATE)[STATE_AT + 1 :]))


def test_a_view_that_gives_buckets_to_a_stranger_is_malformed() -> None:
    strange = replace(VIEW, owners=bytes([3]) * BUCKETS)
    with pytest.raises(Malformed, match="no member"):
        codec.unpack(frame(packed(replace(STATE, proposal=committed(strange)))))


def test_a_view_may_give_buckets_to_nobody() -> None:
    resting = replace(VIEW, owners=bytes(BUCKETS))
    state = replace(STATE, proposal=committed(resting))
    assert codec.unpack(frame(packed(state)))[0].state == state


def test_names_out_of_order_are_malformed() -> None:
    backwards = codec.pack_state(STATE).replace(b"\2db\5nginx", b"\5nginx\2db")
    with pytest.raises(Malformed, match="order"):
        codec.unpack(frame(packed(STATE)[:STATE_AT] + backwards))


def test_a_rate_that_no_interface_reaches_is_cut_to_what_fits() -> None:
    assert codec.pack_traffic(Traffic(2**40, 0, 0)) == codec.pack_traffic(Traffic(2**32 - 1, 0, 0))
