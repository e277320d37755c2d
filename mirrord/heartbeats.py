"""A mirror's heartbeats, in and out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from socket import socket

from farmd.kit.networks import Networks
from farmd.kit.toml import Address
from farmd.kit.wire import Frame, Keyring
from mirrord import codec
from mirrord.config import Config, Node
from mirrord.core.events import Broadcast, Received


class Heartbeats:
    """Those of one node."""

    def __init__(self, config: Config, node: Node, incarnation: int) -> None:
        """Raises MachineError if an address is not this machine's or the port is taken."""
        mirror = config.mirror
        self._peer = config.peer_of(node)
        peers = {self._peer.id: self._peer.addresses}
        self._networks = Networks(mirror.name, Keyring(mirror.keys), node.addresses, peers, mirror.port)
        self._node = node.id
        self._incarnation = incarnation

    @property
    def sockets(self) -> list[socket]:
        """One for each network."""
        return self._networks.sockets

    @property
    def refused(self) -> Counter[str]:
        """Datagrams dropped, by the name of their fault."""
        return self._networks.refused

    def close(self) -> None:
        self._networks.close()

    def send(self, broadcast: Broadcast) -> None:
        """To the peer, over every network."""
        word = codec.pack_word(broadcast.state)
        for peer, echo in broadcast.echoes.items():
            payload = codec.pack(echo, word, time.time_ns())
            self._networks.send(peer, Frame(self._node, self._incarnation, broadcast.seq, payload))

    def receive(self) -> Iterator[Received]:
        """All that has arrived and is authentic, until the sockets are empty."""
        return self._networks.receive(self._read)

    def heard_ns(self) -> dict[Address, int | None]:
        """When the peer was heard last over each network, by its address there; CLOCK_MONOTONIC."""
        heard = self._networks.heard_ns
        return {address: heard.get((self._peer.id, at)) for at, address in enumerate(self._peer.addresses)}

    @staticmethod
    def _read(frame: Frame) -> Received:
        heartbeat, clock_ns = codec.unpack(frame)
        return Received(heartbeat, clock_ns - time.time_ns())
