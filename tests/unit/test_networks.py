"""What the sockets of the heartbeats take."""

from __future__ import annotations

import socket

import pytest

from farmd.core.events import Broadcast
from farmd.traffic import Traffic
from tests.unit.states import JOINING
from tests.unit.two_nodes import two_nodes

BURST = 500


@pytest.mark.needs_root
def test_a_burst_of_strangers_does_not_push_out_a_heartbeat() -> None:
    with two_nodes() as (sender, receiver), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(BURST):
            stranger.sendto(bytes(1400), receiver.sockets[0].getsockname())
        sender.send(Broadcast(1, JOINING, {2: None}), Traffic(0, 0, 0))
        assert [message.seq for message in receiver.receive()] == [1]
        assert receiver.refused == {"Malformed": BURST}
