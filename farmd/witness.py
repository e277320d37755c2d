"""The witness: addresses outside the farm that tell a node whether it is the one that is cut off.

ICMP and ICMPv6 echo (RFC 792, RFC 4443). A probe carries the time it was sent, so an answer says since when this node
is known to have reached the witness.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
_ECHO = struct.Struct("!BBHHH")
_BODY = struct.Struct("!8sQ")


class Witness:
    """Probes every address; an answer of any of them counts."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._addresses = tuple(addresses)
        self._cookie = secrets.token_bytes(8)
        """Tells our answers from those to another program's pings."""
        families = {address.version for address in self._addresses}
        self._by_version = {version: _raw_socket(version) for version in families}
        self.sockets = list(self._by_version.values())

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()

    def probe(self, now_ns: int) -> None:
        """Asks every address."""
        body = _BODY.pack(self._cookie, now_ns)
        for address in self._addresses:
            with contextlib.suppress(OSError):  # unreachable is no answer
                self._by_version[address.version].sendto(_request(address.version, body), (str(address), 0))

    def answers(self) -> Iterator[int]:
        """When the probes that have been answered by now were sent."""
        for version, sock in self._by_version.items():
            while True:
                try:
                    packet, (host, *_) = sock.recvfrom(1500)
                except OSError:
                    break
                # A raw IPv4 socket delivers the IP header, too (raw(7)).
                message = packet[(packet[0] & 15) * 4 :] if version == 4 else packet
                sent_ns = self._sent_ns(version, message)
                if sent_ns is not None and any(str(address) == host for address in self._addresses):
                    yield sent_ns

    def _sent_ns(self, version: int, message: bytes) -> int | None:
        if len(message) < _ECHO.size + _BODY.size or message[0] != ECHO_REPLY[version]:
            return None
        cookie, sent_ns = _BODY.unpack_from(message, _ECHO.size)
        return int(sent_ns) if cookie == self._cookie else None


def _raw_socket(version: int) -> socket.socket:
    family, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP) if version == 4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    return socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)


def _request(version: int, body: bytes) -> bytes:
    header = _ECHO.pack(ECHO_REQUEST[version], 0, 0, 0, 0)
    if version == 6:  # the kernel fills in the checksum, which covers addresses that we do not know (RFC 3542)
        return header + body
    return _ECHO.pack(ECHO_REQUEST[version], 0, _checksum(header + body), 0, 0) + body


def _checksum(message: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
