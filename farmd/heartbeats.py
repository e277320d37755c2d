"""The heartbeat networks: one UDP socket for each, every message sent over all of them.

The first copy to arrive counts; later ones repeat its sequence number and prove nothing new.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from farmd import codec
from farmd.config import Config, Node
from farmd.core.events import Broadcast, Heartbeat
from farmd.errors import MachineError, RemoteError
from farmd.kit.wire import Frame, Keyring, seal, unseal
from farmd.traffic import Traffic

log = logging.getLogger(__name__)

DATAGRAM_BYTES_MAX = 65535
DATAGRAMS_AT_ONCE = 1000
"""Read before anything else happens; more than a socket's buffer holds of heartbeats."""
NETWORK_CONTROL = 0xC0
"""IP precedence of routing protocols (DSCP CS6, RFC 4594 section 3.1): heartbeats outlive a full link."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What a run of a peer said of its traffic, and in which message."""

    incarnation: int
    seq: int
    traffic: Traffic


class Heartbeats:
    """Sockets of one node, bound to its own addresses."""

    def __init__(self, config: Config, node: Node, incarnation: int) -> None:
        """Raises MachineError if an address is not this machine's or the port is taken."""
        self._farm = config.farm.name
        self._keyring = Keyring(config.farm.keys)
        self._node = node.id
        self._incarnation = incarnation
        self._peers = {peer.id: peer for peer in config.nodes if peer.id != node.id}
        self._port = config.farm.port
        self.refused: Counter[str] = Counter()
        """Datagrams dropped, by the name of their fault."""
        self._told: dict[int, _Told] = {}
        self.sockets: list[socket.socket] = []
        try:
            for address in node.addresses:
                self.sockets.append(_bind(str(address), self._port))
        except MachineError:
            self.close()
            raise

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()

    def send(self, broadcast: Broadcast, traffic: Traffic) -> None:
        """To every peer over every network. What cannot be sent is lost, like on the wire."""
        for_all = codec.pack_state(broadcast.state) + codec.pack_traffic(traffic)
        for peer, echo in broadcast.echoes.items():
            frame = Frame(self._node, self._incarnation, broadcast.seq, codec.pack_echo(echo) + for_all)
            datagram = seal(frame, self._farm, self._keyring)
            for sock, address in zip(self.sockets, self._peers[peer].addresses, strict=True):
                with contextlib.suppress(OSError):  # no route, link down, buffer full: all of them are silence
                    sock.sendto(datagram, (str(address), self._port))

    def receive(self) -> Iterator[Heartbeat]:
        """All that has arrived and is authentic, until the sockets are empty."""
        for sock in self.sockets:
            for _ in range(DATAGRAMS_AT_ONCE):
                try:
                    datagram = sock.recv(DATAGRAM_BYTES_MAX)
                except BlockingIOError:
                    break
                except OSError:  # an ICMP error about something we sent; the next call reads on
                    continue
                heartbeat = self._read(datagram)
                if heartbeat is not None:
                    yield heartbeat

    def _read(self, datagram: bytes) -> Heartbeat | None:
        try:
            frame = unseal(datagram, self._farm, self._keyring)
            if frame.sender not in self._peers:
                self.refused["Stranger"] += 1
                return None
            heartbeat, traffic = codec.unpack(frame)
        except RemoteError as error:
            self.refused[type(error).__name__] += 1
            log.debug("dropped a datagram: %s", error)
            return None
        told = self._told.get(frame.sender)
        if told is None or told.incarnation != frame.incarnation or told.seq < frame.seq:
            self._told[frame.sender] = _Told(frame.incarnation, frame.seq, traffic)
        return heartbeat

    def traffic_of(self, peer: int, incarnation: int | None) -> Traffic | None:
        """What this run of the peer has said last of its traffic; None if that is nothing."""
        told = self._told.get(peer)
        return told.traffic if told is not None and told.incarnation == incarnation else None


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, NETWORK_CONTROL)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, NETWORK_CONTROL)
    try:
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise MachineError(f"cannot listen for heartbeats on {address} port {port}: {error.strerror}") from None
    return sock
