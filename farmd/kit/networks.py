"""The heartbeat networks: one UDP socket for each, every message sent over all of them.

The first copy to arrive counts; later ones repeat its sequence number and prove nothing new.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from farmd.errors import MachineError, RemoteError
from farmd.kit.toml import Address
from farmd.kit.wire import Frame, Keyring, seal, unseal

log = logging.getLogger(__name__)

DATAGRAM_BYTES_MAX = 65535
DATAGRAMS_AT_ONCE = 3000
"""Read before anything else happens; more than a socket's buffer holds (2,520 of the smallest were seen to fit)."""
SO_RCVBUFFORCE = 33
"""A buffer beyond the machine's limit, for root (socket(7); Python's socket does not have it)."""
BUFFER_BYTES = 1 << 20
"""What arrives while the daemon does something else: a burst of strangers must not push the heartbeats out."""
NETWORK_CONTROL = 0xC0
"""IP precedence of routing protocols (DSCP CS6, RFC 4594 section 3.1): heartbeats outlive a full link."""

T = TypeVar("T")


class Networks(ABC, Generic[T]):
    """Sockets of one node, bound to its own addresses; its peers' addresses are in the same order. T: a message."""

    def __init__(
        self,
        name: str,
        keyring: Keyring,
        addresses: Sequence[Address],
        peers: Mapping[int, Sequence[Address]],
        port: int,
    ) -> None:
        """name: the farm's or mirror's. MachineError if an address is not this machine's or the port is taken."""
        self._name = name
        self._keyring = keyring
        self._peers = peers
        self._port = port
        self.refused: Counter[str] = Counter()
        """Datagrams dropped, by the name of their fault."""
        self._heard_ns: dict[tuple[int, int], int] = {}
        """When a peer's newest authentic datagram came over a network: (its id, the position of the address)."""
        self.sockets: list[socket.socket] = []
        try:
            for address in addresses:
                self.sockets.append(_bind(str(address), port))
        except MachineError:
            self.close()
            raise

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()

    @abstractmethod
    def _read(self, frame: Frame) -> T:
        """What an authentic datagram of a peer says. RemoteError if that makes no sense."""

    def _send(self, peer: int, frame: Frame) -> None:
        """To one peer over every network. What cannot be sent is lost, like on the wire."""
        datagram = seal(frame, self._name, self._keyring)
        for sock, address in zip(self.sockets, self._peers[peer], strict=True):
            with contextlib.suppress(OSError):  # no route, link down, buffer full: all of them are silence
                sock.sendto(datagram, (str(address), self._port))

    def receive(self) -> Iterator[T]:
        """All that has arrived, is authentic, is a peer's and makes sense, until the sockets are empty."""
        for network, sock in enumerate(self.sockets):
            for _ in range(DATAGRAMS_AT_ONCE):
                try:
                    datagram = sock.recv(DATAGRAM_BYTES_MAX)
                except BlockingIOError:
                    break
                except OSError:  # an ICMP error about something we sent; the next call reads on
                    continue
                try:
                    frame = unseal(datagram, self._name, self._keyring)
                    if frame.sender not in self._peers:
                        self.refused["Stranger"] += 1
                        continue
                    message = self._read(frame)
                except RemoteError as error:
                    self.refused[type(error).__name__] += 1
                    log.debug("dropped a datagram: %s", error)
                    continue
                self._heard_ns[frame.sender, network] = time.monotonic_ns()
                yield message


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, NETWORK_CONTROL)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, NETWORK_CONTROL)
    with contextlib.suppress(PermissionError):  # not root: a test
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    try:
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise MachineError(f"cannot listen for heartbeats on {address} port {port}: {error.strerror}") from None
    return sock
