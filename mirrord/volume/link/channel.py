"""What carries a link's bytes once it is greeted: a TCP connection, bare or under TLS; neither ever blocks."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import ssl

    Connection = socket.socket | ssl.SSLSocket

Buffer = bytes | bytearray | memoryview

DEAD_AFTER_S = 10
"""A peer whose kernel answers nothing for so long, or has room for nothing, is gone (tcp(7), TCP_USER_TIMEOUT). Only a
second opinion: the daemons' heartbeats notice much earlier that it is silent, and `owed` that this network is."""

_TCP_INFO = struct.Struct("<24xI28xI")
"""Of struct tcp_info (linux/tcp.h): tcpi_unacked, tcpi_last_ack_recv in milliseconds"""

_TLS_BYTES_MAX = 1 << 18
"""The most that is joined for one call of OpenSSL, which takes no lists of buffers."""


class Channel(Protocol):
    """A greeted connection. Every error of it is an OSError."""

    fileno: Callable[[], int]
    close: Callable[[], None]

    def send(self, buffers: Sequence[Buffer]) -> int:
        """How many bytes were taken; BlockingIOError if none can be now."""

    def receive(self, into: memoryview) -> int:
        """How many bytes came; 0 at the peer's end; BlockingIOError if there are none."""

    def more(self) -> bool:
        """Whether bytes are here that poll(2) does not know of."""

    def owed(self, for_s: float) -> bool:
        """Whether the peer's kernel has something to answer, and has answered nothing for so long. One that has told us
        that it has no room owes nothing."""


class Plain:
    """TCP as it is."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self.fileno, self.close = connection.fileno, connection.close
        self.send: Callable[[Sequence[Buffer]], int] = connection.sendmsg
        self.receive: Callable[[memoryview], int] = connection.recv_into

    def more(self) -> bool:
        return False

    def owed(self, for_s: float) -> bool:
        return _owed(self._connection, for_s)


class Secured:
    """TLS over TCP."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self.fileno, self.close = connection.fileno, connection.close

    def send(self, buffers: Sequence[Buffer]) -> int:
        import ssl

        try:
            return self._connection.send(_joined(buffers))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def receive(self, into: memoryview) -> int:
        import ssl

        received = 0
        try:
            while received < len(into):
                count = self._connection.recv_into(into[received:])
                if not count:
                    break
                received += count
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            if not received:
                raise BlockingIOError from None
        return received

    def more(self) -> bool:
        return bool(self._connection.pending())

    def owed(self, for_s: float) -> bool:
        return _owed(self._connection, for_s)


def channel(connection: Connection) -> Channel:
    """The connection, for the stream from now on."""
    tune(connection)
    return Secured(cast("ssl.SSLSocket", connection)) if hasattr(connection, "pending") else Plain(connection)


def tune(connection: socket.socket) -> None:
    """What a connection of ours is told before it is used."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER_S * 1000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)


def _owed(connection: socket.socket, for_s: float) -> bool:
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    unacknowledged, answered_ms_ago = _TCP_INFO.unpack(told)
    return bool(unacknowledged and answered_ms_ago >= for_s * 1000)


def tls_context(files: dict[str, str], *, server: bool) -> ssl.SSLContext:
    """Both ends show a certificate of the mirror's CA. Which node it is, the greeting proves. OSError (ssl.SSLError is
    one) if the files cannot be used."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # nodes have addresses, not names
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files["certificate"], files["key"])
    context.load_verify_locations(files["ca"])
    return context


def _joined(buffers: Sequence[Buffer]) -> bytes:
    joined, room = bytearray(), _TLS_BYTES_MAX
    for buffer in buffers:
        joined += buffer[:room]
        room = _TLS_BYTES_MAX - len(joined)
        if not room:
            break
    return bytes(joined)
