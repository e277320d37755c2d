"""Rates from counters, and how they reach the peers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from farmd.core.events import Broadcast, Heartbeat
from farmd.heartbeats import Heartbeats
from farmd.traffic import PERIOD_NS, Meter, Traffic
from lab.waiting import until
from tests.unit.states import JOINING
from tests.unit.two_nodes import two_nodes


def test_rates_are_what_the_counters_grew_in_a_second() -> None:
    meter = Meter()
    meter.read(0, Counter(owned=1000, drop_other=5))
    assert meter.traffic == Traffic(0, 0, 0)
    meter.read(2 * PERIOD_NS, Counter(owned=1200, draining=40, filling=60, drop_other=11, drop_fenced=2, arp=9))
    assert meter.traffic == Traffic(150, 3, 1)


def test_what_is_dropped_while_buckets_move_is_dropped_for_another_node() -> None:
    meter = Meter()
    meter.read(0, Counter())
    meter.read(PERIOD_NS, Counter(drop_other=1, drop_draining=20, drop_filling=300, drop_malformed=4000))
    assert meter.traffic == Traffic(0, 321, 0)


def test_a_reading_is_due_once_a_second() -> None:
    meter = Meter()
    assert meter.due(5)
    meter.read(5, Counter())
    assert not meter.due(5 + PERIOD_NS - 1)
    assert meter.due(5 + PERIOD_NS)


@pytest.fixture
def pair() -> Iterator[tuple[Heartbeats, Heartbeats]]:
    """The sockets of two nodes, of which the first sends and the second receives."""
    with two_nodes() as both:
        yield both


def heard(receiver: Heartbeats, count: int) -> list[Heartbeat]:
    """The next messages, as soon as there are so many."""
    messages: list[Heartbeat] = []

    def enough() -> bool:
        messages.extend(receiver.receive())
        return len(messages) >= count

    until(enough, "the messages")
    return messages


def test_what_a_node_says_of_its_traffic_is_known_to_its_peer(pair: tuple[Heartbeats, Heartbeats]) -> None:
    sender, receiver = pair
    assert receiver.traffic_of(1, 7) is None
    for seq in (1, 2):
        sender.send(Broadcast(seq, JOINING, {2: None}), Traffic(10 * seq, 2, 3))
    assert [message.seq for message in heard(receiver, 2)] == [1, 2]
    assert receiver.traffic_of(1, 7) == Traffic(20, 2, 3)
    assert receiver.traffic_of(1, 6) is None, "another run of it"


def test_an_overtaken_or_repeated_message_says_nothing_new_of_it(pair: tuple[Heartbeats, Heartbeats]) -> None:
    sender, receiver = pair
    for seq in (5, 4):
        sender.send(Broadcast(seq, JOINING, {2: None}), Traffic(seq, 0, 0))
    heard(receiver, 2)
    assert receiver.traffic_of(1, 7) == Traffic(5, 0, 0)
