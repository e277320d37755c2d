"""Rates from counters, and how they reach the peers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from farmd.config import Config, Farm, Node
from farmd.core.events import Broadcast, Heartbeat
from farmd.heartbeats import Heartbeats
from farmd.traffic import PERIOD_NS, Meter, Traffic
from lab.waiting import until
from tests.unit.ports import udp_port
from tests.unit.states import JOINING

NODES = (Node(1, "n1", (ip_address("127.0.0.1"),)), Node(2, "n2", (ip_address("127.0.0.2"),)))


def test_rates_are_what_the_counters_grew_in_a_second() -> None:
    meter = Meter()
    meter.read(0, Counter(owned=1000, drop_other=5))
    assert meter.traffic == Traffic(0, 0, 0)
    meter.read(2 * PERIOD_NS, Counter(owned=1200, draining=40, filling=60, drop_other=11, drop_fenced=2, arp=9))
    assert meter.traffic == Traffic(150, 3, 1)


def test_a_reading_is_due_once_a_second() -> None:
    meter = Meter()
    assert meter.due(5)
    meter.read(5, Counter())
    assert not meter.due(5 + PERIOD_NS - 1)
    assert meter.due(5 + PERIOD_NS)


@pytest.fixture
def pair() -> Iterator[tuple[Heartbeats, Heartbeats]]:
    """The sockets of two nodes, of which the first sends and the second receives."""
    farm = Farm("web", (ip_address("10.0.0.100"),), "eth0", (bytes(32),), port=udp_port())
    config = Config(farm=farm, nodes=NODES)
    sender, receiver = Heartbeats(config, NODES[0], 7), Heartbeats(config, NODES[1], 8)
    yield sender, receiver
    sender.close()
    receiver.close()


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
