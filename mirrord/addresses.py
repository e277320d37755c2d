"""Addresses that an interface has for a limited time: rtnetlink(7), without a library, since it is in the daemon's way.

The lifetime that autoconfiguration and DHCP give to addresses (RFC 4862, 5.5.4; IFA_CACHEINFO in linux/if_addr.h) is a
lease held by the kernel: whoever stops to renew it loses the address, however it stopped.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import struct
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

LIFETIME_MAX_S = 3
"""However long the lease. The kernel counts whole seconds, and was seen to be late by up to 0.3 s."""
NS = 1_000_000_000

SCOPE_UNIVERSE, SCOPE_HOST = 0, 254
LO = "lo"

_NEW, _DELETE = 20, 21  # RTM_NEWADDR, RTM_DELADDR
_REQUEST, _ACK, _REPLACE, _CREATE = 0x01, 0x04, 0x100, 0x400  # NLM_F_...
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 6, 8
_NODAD, _NOPREFIXROUTE = 0x02, 0x200
_FLAGS = struct.pack("=I", _NODAD | _NOPREFIXROUTE)
"""IPv6: no second of duplicate address detection, and no route to the address itself, which would outlive it."""
_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
_CACHEINFO = struct.Struct("=IIII")
_ERROR = struct.Struct("=i")
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


class Lent:
    """Addresses of one interface, each by itself (/32, /128) and deprecated (RFC 4862, 5.5.4): this machine's own
    connections do not come from them.
    """

    def __init__(self, interface: str, addresses: Iterable[Address], scope: int = SCOPE_UNIVERSE) -> None:
        self._interface = interface
        self._addresses = tuple(addresses)
        self._scope = scope
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._until_ns = self._due_ns = 0

    def close(self) -> None:
        """Lend no more; what is lent stays until its time is over."""
        self._socket.close()

    def renew(self, until_ns: int) -> None:
        """Lend the addresses until this time of CLOCK_MONOTONIC, to the full second after it. The kernel is told when a
        third of its time is over, or when the time becomes shorter, not more often: it tells everybody who listens.
        OSError if it refuses, or if the interface is gone; it may come back.
        """
        now_ns = time.monotonic_ns()
        lifetime_s = min(LIFETIME_MAX_S, math.ceil((until_ns - now_ns) / NS))
        if lifetime_s <= 0:
            self.remove()
        elif now_ns >= self._due_ns or until_ns < self._until_ns:
            for address in self._addresses:
                self._tell(_NEW, _CREATE | _REPLACE, address, _CACHEINFO.pack(0, lifetime_s, 0, 0))
            self._due_ns = now_ns + lifetime_s * NS // 3
        self._until_ns = until_ns

    def remove(self) -> None:
        """Take them back now. One that is not there, or whose interface has gone, is no error."""
        self._due_ns = 0
        for address in self._addresses:
            try:
                self._tell(_DELETE, 0, address)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                    raise

    def _tell(self, kind: int, flags: int, address: Address, lifetime: bytes = b"") -> None:
        index = _index(self._interface)
        message = _IFADDRMSG.pack(_FAMILY[address.version], address.max_prefixlen, 0, self._scope, index)
        message += _attribute(_IFA_LOCAL, address.packed) + _attribute(_IFA_ADDRESS, address.packed)
        message += _attribute(_IFA_FLAGS, _FLAGS)
        if lifetime:
            message += _attribute(_IFA_CACHEINFO, lifetime)
        header = _HEADER.pack(_HEADER.size + len(message), kind, _REQUEST | _ACK | flags, 0, 0)
        self._socket.send(header + message)
        (code,) = _ERROR.unpack_from(self._socket.recv(4096), _HEADER.size)
        if code:
            raise OSError(-code, os.strerror(-code))


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:  # which has no number in Python 3.11
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value  # all of them are multiples of 4 bytes, so none is padded
