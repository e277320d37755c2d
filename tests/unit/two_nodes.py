"""The heartbeat sockets of two nodes of a farm on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_address

from farmd.config import Config, Farm, Node
from farmd.heartbeats import Heartbeats
from tests.unit.ports import udp_port

ADDRESSES = ("127.0.0.1", "127.0.0.2")


@contextmanager
def two_nodes() -> Iterator[tuple[Heartbeats, Heartbeats]]:
    """Of the nodes 1 and 2, in their incarnations 7 and 8; at the port that `sockets` tells."""
    farm = Farm("web", (ip_address("10.0.0.100"),), "eth0", (bytes(32),), port=udp_port())
    nodes = tuple(Node(number, f"n{number}", (ip_address(at),)) for number, at in enumerate(ADDRESSES, start=1))
    config = Config(farm=farm, nodes=nodes)
    with closing(Heartbeats(config, nodes[0], 7)) as one, closing(Heartbeats(config, nodes[1], 8)) as other:
        yield one, other
