"""Heartbeats of a farm, in and out, and what peers say in them of their traffic."""

from __future__ import annotations

from dataclasses import dataclass

from farmd import codec
from farmd.config import Config, Node
from farmd.core.events import Broadcast, Heartbeat
from farmd.kit.networks import Networks
from farmd.kit.wire import Frame, Keyring
from farmd.traffic import Traffic


@dataclass(frozen=True, slots=True)
class _Told:
    """What a run of a peer said of its traffic, and in which message."""

    incarnation: int
    seq: int
    traffic: Traffic


class Heartbeats(Networks[Heartbeat]):
    """Those of one node."""

    def __init__(self, config: Config, node: Node, incarnation: int) -> None:
        """Raises MachineError if an address is not this machine's or the port is taken."""
        farm = config.farm
        peers = {peer.id: peer.addresses for peer in config.nodes if peer.id != node.id}
        super().__init__(farm.name, Keyring(farm.keys), node.addresses, peers, farm.port)
        self._node = node.id
        self._incarnation = incarnation
        self._told: dict[int, _Told] = {}

    def send(self, broadcast: Broadcast, traffic: Traffic) -> None:
        """To every peer over every network."""
        for_all = codec.pack_state(broadcast.state) + codec.pack_traffic(traffic)
        for peer, echo in broadcast.echoes.items():
            payload = codec.pack_echo(echo) + for_all
            self._send(peer, Frame(self._node, self._incarnation, broadcast.seq, payload))

    def _read(self, frame: Frame) -> Heartbeat:
        heartbeat, traffic = codec.unpack(frame)
        told = self._told.get(frame.sender)
        if told is None or told.incarnation != frame.incarnation or told.seq < frame.seq:
            self._told[frame.sender] = _Told(frame.incarnation, frame.seq, traffic)
        return heartbeat

    def traffic_of(self, peer: int, incarnation: int | None) -> Traffic | None:
        """What this run of the peer has said last of its traffic; None if that is nothing."""
        told = self._told.get(peer)
        return told.traffic if told is not None and told.incarnation == incarnation else None
