"""Telling the neighbours where an address is, and hearing from those who have it too.

IPv4: ARP announcements and probes (RFC 5227). IPv6: unsolicited advertisements and solicitations of neighbours (RFC
4861, 7.2.6 and 4.3). Whoever has just got an address probes for it as well, but uses it at once: a failover cannot wait
for the seconds that RFC 5227 gives to others to answer. Each announcement goes with a probe, since a packet may be lost
and an announcement itself is not answered: Linux takes it for a martian. An answer is a conflict, which is told, and is
answered with one more announcement (RFC 5227, 2.4 b).
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from farmd.links import Address

SCHEDULE_S = (0.0, 0.2, 1.2, 2.4, 5.0)
"""When an address is announced. Linux ignores what contradicts an ARP entry that is younger than a second (arp(7),
locktime), and a switch may have lost its way to us a moment ago."""
DEFEND_S = 10.0
"""RFC 5227's DEFEND_INTERVAL: conflicts are answered no more often, and a conflict is forgotten after that time."""
NS = 1_000_000_000

ETH_P_ARP = 0x0806
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET, _REQUEST = 1, 1
_NOBODY = bytes(6)
_BROADCAST = b"\xff" * 6

_SOLICITATION, _ADVERTISEMENT = 135, 136
_OVERRIDE = 0x2000_0000
_NEIGHBOUR = struct.Struct("!BBHI16s")
_LINK_ADDRESS = struct.Struct("!BB6s")
_SOURCE, _TARGET = 1, 2
_ALL_NODES = "ff02::1"
ICMP6_FILTER = 1  # linux/icmpv6.h
SIOCGIFHWADDR = 0x8927  # netdevice(7)
_IFREQ = struct.Struct("=16sH6s16x")
HOP_LIMIT = 255  # what came through a router has less, and is not believed


def arp_probe(mac: bytes, vip: IPv4Address) -> bytes:
    """Asks who has the address, without claiming it (RFC 5227, 2.1.1)."""
    return _ARP.pack(_ETHERNET, 0x0800, 6, 4, _REQUEST, mac, bytes(4), _NOBODY, vip.packed)


def arp_announcement(mac: bytes, vip: IPv4Address) -> bytes:
    """Says that it is here, and repairs what neighbours remember (RFC 5227, 2.3)."""
    return _ARP.pack(_ETHERNET, 0x0800, 6, 4, _REQUEST, mac, vip.packed, _NOBODY, vip.packed)


def solicitation(mac: bytes, vip: IPv6Address) -> bytes:
    """Asks who has the address; the kernel fills in the checksum (RFC 3542, 3.1), as in all ICMPv6."""
    return _NEIGHBOUR.pack(_SOLICITATION, 0, 0, 0, vip.packed) + _LINK_ADDRESS.pack(_SOURCE, 1, mac)


def advertisement(mac: bytes, vip: IPv6Address) -> bytes:
    """Says that it is here, overriding what neighbours remember."""
    return _NEIGHBOUR.pack(_ADVERTISEMENT, 0, 0, _OVERRIDE, vip.packed) + _LINK_ADDRESS.pack(_TARGET, 1, mac)


def arp_claim(packet: bytes) -> tuple[bytes, Address] | None:
    """The MAC and address that a packet of ARP says belong together; None if it says nothing of that kind."""
    if len(packet) < _ARP.size:
        return None
    hardware, protocol, *_, mac, sender, _, _ = _ARP.unpack_from(packet)
    if (hardware, protocol) != (_ETHERNET, 0x0800) or not any(sender):
        return None
    return mac, IPv4Address(sender)


def neighbour_claim(packet: bytes) -> tuple[bytes, Address] | None:
    """The same of a neighbour advertisement."""
    if len(packet) < _NEIGHBOUR.size + _LINK_ADDRESS.size or packet[0] != _ADVERTISEMENT:
        return None
    target = _NEIGHBOUR.unpack_from(packet)[4]
    kind, length, mac = _LINK_ADDRESS.unpack_from(packet, _NEIGHBOUR.size)
    return (mac, IPv6Address(target)) if (kind, length) == (_TARGET, 1) else None


class Announcements:
    """Of addresses that an interface has got just now, until closed. Nothing here waits."""

    def __init__(self, interface: str, vips: Sequence[Address]) -> None:
        """OSError if the interface has gone."""
        self._interface = interface
        self._vips = tuple(vips)
        self._arp = _arp_socket(interface)
        self._mac: bytes = self._arp.getsockname()[4]
        self._icmp = _icmp_socket(interface)
        start_ns = time.monotonic_ns()
        self._due_ns = [start_ns + round(after_s * NS) for after_s in SCHEDULE_S]
        self._conflict = ""
        self._conflict_ns = 0

    def close(self) -> None:
        """Announce no more."""
        self._arp.close()
        self._icmp.close()

    @property
    def conflict(self) -> str:
        """Who else has lately claimed an address, in a sentence; empty if nobody has."""
        recent = time.monotonic_ns() - self._conflict_ns < DEFEND_S * NS
        return self._conflict if recent else ""

    def attend(self) -> None:
        """Announce what is due, and look who contradicts; to be called several times a second."""
        now_ns = time.monotonic_ns()
        for mac, vip in self._claims():
            if vip in self._vips and mac != self._mac and not _is_ours(mac):
                self._contradicted(mac, vip, now_ns)
        if self._due_ns and self._due_ns[0] <= now_ns:
            self._due_ns = [due_ns for due_ns in self._due_ns if due_ns > now_ns]
            for vip in self._vips:
                self._ask(vip)
                self._announce(vip)

    def _contradicted(self, mac: bytes, vip: Address, now_ns: int) -> None:
        if not self.conflict:
            self._due_ns.insert(0, now_ns)
        self._conflict, self._conflict_ns = f"{vip} is also used by {mac.hex(':')} on {self._interface}", now_ns

    def _claims(self) -> Iterator[tuple[bytes, Address]]:
        for sock, read in ((self._arp, arp_claim), (self._icmp, neighbour_claim)):
            for packet in _received(sock):
                claim = read(packet)
                if claim is not None:
                    yield claim

    def _ask(self, vip: Address) -> None:
        if isinstance(vip, IPv4Address):
            self._broadcast(arp_probe(self._mac, vip))
        else:
            self._multicast(_solicited_nodes(vip), solicitation(self._mac, vip))

    def _announce(self, vip: Address) -> None:
        if isinstance(vip, IPv4Address):
            self._broadcast(arp_announcement(self._mac, vip))
        else:
            self._multicast(_ALL_NODES, advertisement(self._mac, vip))

    def _broadcast(self, packet: bytes) -> None:
        with contextlib.suppress(OSError):  # the interface is down; the next announcement may find it up
            self._arp.sendto(packet, (self._interface, ETH_P_ARP, 0, 0, _BROADCAST))

    def _multicast(self, group: str, packet: bytes) -> None:
        with contextlib.suppress(OSError):
            self._icmp.sendto(packet, (group, 0))


def _received(sock: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            yield sock.recv(2048)
        except OSError:  # nothing more, or the interface has gone
            return


def _arp_socket(interface: str) -> socket.socket:
    """Sends and receives ARP, without Ethernet's header (packet(7))."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    sock.bind((interface, ETH_P_ARP))
    return sock


def _icmp_socket(interface: str) -> socket.socket:
    """Sends any ICMPv6 and receives advertisements of neighbours."""
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    sock = socket.socket(socket.AF_INET6, kind, socket.IPPROTO_ICMPV6)
    blocked = bytearray(b"\xff" * 32)  # a bit for each type; 32-bit words of the machine's own order (RFC 3542, 3.2)
    struct.pack_into("=I", blocked, _ADVERTISEMENT // 32 * 4, 0xFFFF_FFFF & ~(1 << _ADVERTISEMENT % 32))
    sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, bytes(blocked))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(interface))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    return sock


def _is_ours(mac: bytes) -> bool:
    """Whether another interface of this machine, in the same network, has answered: Linux does so (ip-sysctl,
    arp_ignore)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # gone meanwhile
                answer = fcntl.ioctl(sock, SIOCGIFHWADDR, _IFREQ.pack(name.encode(), 0, bytes(6)))
                if _IFREQ.unpack(answer)[2] == mac:
                    return True
    return False


def _solicited_nodes(vip: IPv6Address) -> str:
    """RFC 4291, 2.7.1."""
    return str(IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + vip.packed[13:]))
