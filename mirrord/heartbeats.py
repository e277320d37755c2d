"""A mirror's heartbeats, in and out."""

from __future__ import annotations

import time

from farmd.kit.networks import Networks
from farmd.kit.toml import Address
from farmd.kit.wire import Frame, Keyring
from mirrord import codec
from mirrord.config import Config, Node
from mirrord.core.events import Broadcast, Received


class Heartbeats(Networks[Received]):
    """Those of one node."""

    def __init__(self, config: Config, node: Node, incarnation: int) -> None:
        """Raises MachineError if an address is not this machine's or the port is taken."""
        mirror = config.mirror
        self._peer = config.peer_of(node)
        peers = {self._peer.id: self._peer.addresses}
        super().__init__(mirror.name, Keyring(mirror.keys), node.addresses, peers, mirror.port)
        self._node = node.id
        self._incarnation = incarnation

    def send(self, broadcast: Broadcast) -> None:
        """To the peer, over every network."""
        word = codec.pack_word(broadcast.state)
        for peer, echo in broadcast.echoes.items():
            payload = codec.pack(echo, word, time.time_ns())
            self._send(peer, Frame(self._node, self._incarnation, broadcast.seq, payload))

    def heard_ns(self) -> dict[Address, int | None]:
        """When the peer was heard last over each network, by its address there; CLOCK_MONOTONIC."""
        return {address: self._heard_ns.get((self._peer.id, at)) for at, address in enumerate(self._peer.addresses)}

    def _read(self, frame: Frame) -> Received:
        heartbeat, clock_ns = codec.unpack(frame)
        return Received(heartbeat, clock_ns - time.time_ns())
