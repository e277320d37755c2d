"""The filter once more, in Python: what must become of a frame. Written from the rules, to be read beside them.

frame -> packet: who is the client, which address is it for, what kind is it
      -> bucket: SipHash-1-3 of the client (and ports)
      -> outcome: the name of the counter that it ends in, or "foreign" if it concerns no farm
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address
Flow = tuple[Address, int, Address, int]
"""Client, its port, virtual address, its port."""

BUCKETS = 1024
TCP, UDP, ICMP, ICMP6, FRAGMENT, AUTHENTICATION = 6, 17, 1, 58, 44, 51
SKIPPED = (0, 43, 60)  # hop-by-hop, routing, destination options
EXTENSIONS_MAX = 5
WORD = (1 << 64) - 1


class ForeignError(Exception):
    """Nothing that could be for a virtual address."""


@dataclass
class Packet:
    """What the verdict depends on."""

    vip: Address
    client: Address
    family: int
    kind: str = "malformed"  # malformed, arp, nd, syn, flow, datagram
    protocol: int = 0
    vip_port: int = 0
    client_port: int = 0


@dataclass
class Farm:
    """One slot."""

    vips: Sequence[Address]
    key: bytes
    states: Sequence[str]  # of each bucket: other, owned, draining, filling
    affinities: dict[tuple[int, int], str] = field(default_factory=dict)  # (protocol, port) -> network, connection
    lease_holds: bool = True
    flow_lives: Callable[[Flow], bool] = lambda flow: False


def outcome(frame: bytes, farms: Sequence[Farm]) -> tuple[str, Farm | None, int | None]:
    """What becomes of the frame, whose packet it is, and the bucket it is in."""
    try:
        packet = parse(frame)
    except ForeignError:
        return "foreign", None, None
    farm = next((farm for farm in farms if packet.vip in [mapped(vip) for vip in farm.vips]), None)
    if farm is None:
        return "foreign", None, None
    if not farm.lease_holds:
        return "drop_fenced", farm, None
    if packet.kind == "malformed":
        return "drop_malformed", farm, None
    bucket = bucket_of(packet, farm)
    flow = (packet.client, packet.client_port, packet.vip, packet.vip_port)
    lives = packet.protocol == TCP and packet.vip_port != 0 and farm.flow_lives(flow)
    state = farm.states[bucket]
    passes = {
        "other": False,
        "owned": True,
        "draining": packet.kind == "flow" and lives,
        "filling": packet.kind != "flow" or lives,
    }[state]
    if not passes:
        return {"owned": "", "other": "drop_other"}.get(state, f"drop_{state}"), farm, bucket
    return packet.kind if packet.kind in ("arp", "nd") else state, farm, bucket


# --- bucket


def bucket_of(packet: Packet, farm: Farm) -> int:
    affinity = farm.affinities.get((packet.protocol, packet.vip_port), "client") if packet.vip_port else "client"
    client = ip_address(packet.client.packed[12:]) if packet.family == 4 else packet.client
    if affinity == "network":
        client = ip_network((client, 24 if packet.family == 4 else 64), strict=False).network_address
    ports = b""
    if affinity == "connection":
        ports = packet.client_port.to_bytes(2, "big") + packet.vip_port.to_bytes(2, "big")
    return siphash13(farm.key, client.packed + ports.ljust(4 if packet.family == 4 else 8, b"\0")) % BUCKETS


def siphash13(key: bytes, message: bytes) -> int:
    k0, k1 = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        sip_round(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(3):
        sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def sip_round(v: list[int]) -> None:
    def half(a: int, b: int, turn: int, turn_a: int) -> None:
        v[a] = (v[a] + v[b]) & WORD
        v[b] = rotate(v[b], turn) ^ v[a]
        v[a] = rotate(v[a], turn_a)

    half(0, 1, 13, 32)
    half(2, 3, 16, 0)
    half(0, 3, 21, 0)
    half(2, 1, 17, 32)


def rotate(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (64 - bits))) & WORD


# --- parse


def mapped(address: Address) -> IPv6Address:
    """All addresses are compared as IPv6."""
    return address if isinstance(address, IPv6Address) else IPv6Address(bytes(10) + b"\xff\xff" + address.packed)


def need(data: bytes, length: int) -> bytes:
    """The first bytes; ValueError if there are not so many."""
    if len(data) < length:
        raise ValueError("cut off")
    return data[:length]


def parse(frame: bytes) -> Packet:
    try:
        protocol, rest = need(frame, 14)[12:], frame[14:]
        if protocol in (b"\x81\x00", b"\x88\xa8"):
            protocol, rest = need(rest, 4)[2:], rest[4:]
        start = {b"\x08\x00": ip4, b"\x86\xdd": ip6, b"\x08\x06": arp}[protocol]
        packet, more = start(rest)
    except (ValueError, KeyError):
        raise ForeignError from None
    try:
        more(packet)
    except ValueError:
        packet.kind = "malformed"
    return packet


Rest = Callable[[Packet], None]


def arp(data: bytes) -> tuple[Packet, Rest]:
    if need(data, 28)[:8] != bytes.fromhex("0001080006040001"):
        raise ValueError("no request of IPv4 over Ethernet")
    packet = Packet(mapped(IPv4Address(data[24:28])), mapped(IPv4Address(data[14:18])), 4, "arp")
    return packet, lambda packet: None


def ip4(data: bytes) -> tuple[Packet, Rest]:
    header = need(data, 20)
    if header[0] >> 4 != 4:
        raise ValueError("not IPv4")
    packet = Packet(mapped(IPv4Address(header[16:20])), mapped(IPv4Address(header[12:16])), 4)
    return packet, lambda packet: behind_ip4(packet, data, about=False)


def ip6(data: bytes) -> tuple[Packet, Rest]:
    header = need(data, 40)
    if header[0] >> 4 != 6:
        raise ValueError("not IPv6")
    packet = Packet(IPv6Address(header[24:40]), IPv6Address(header[8:24]), 6)
    return packet, lambda packet: behind_ip6(packet, data, about=False)


def behind_ip4(packet: Packet, data: bytes, about: bool) -> None:
    length = (data[0] & 15) * 4
    if length < 20:
        raise ValueError("shorter than itself")
    fragmented = int.from_bytes(data[6:8], "big") & 0x3FFF != 0
    payload(packet, data[9], data[length:], fragmented, about, hop_limit=data[8])


def behind_ip6(packet: Packet, data: bytes, about: bool) -> None:
    protocol, rest = data[6], data[40:]
    for _ in range(EXTENSIONS_MAX):
        if protocol == FRAGMENT:
            header = need(rest, 8)
            protocol, rest = header[0], rest[8:]
            if int.from_bytes(header[2:4], "big") & 0xFFF9:
                payload(packet, protocol, rest, True, about)
                return
        elif protocol in SKIPPED or protocol == AUTHENTICATION:
            unit = 4 if protocol == AUTHENTICATION else 8
            protocol, rest = need(rest, 2)[0], rest[8 + unit * rest[1] :]
    if protocol in (*SKIPPED, AUTHENTICATION, FRAGMENT):
        raise ValueError("too many extension headers")
    payload(packet, protocol, rest, False, about, hop_limit=data[7])


def payload(packet: Packet, protocol: int, data: bytes, fragmented: bool, about: bool, hop_limit: int = 0) -> None:
    """`about`: it is quoted in an ICMP error, so we sent it, and eight bytes of it are promised."""
    packet.protocol = protocol
    packet.kind = "datagram"
    if fragmented:
        packet.kind = "flow" if protocol == TCP else "datagram"
    elif not about and protocol == ICMP and packet.family == 4:
        icmp(packet, data, errors=(3, 11, 12))
    elif not about and protocol == ICMP6 and packet.family == 6:
        icmp(packet, data, errors=range(128))
        if data[0] == 135:
            solicitation(packet, data, hop_limit)
    elif protocol in (TCP, UDP):
        need(data, 20 if protocol == TCP and not about else 8)
        ports = int.from_bytes(data[0:2], "big"), int.from_bytes(data[2:4], "big")
        packet.client_port, packet.vip_port = reversed(ports) if about else ports
        if protocol == TCP:
            packet.kind = "syn" if not about and data[13] & 0x12 == 0x02 else "flow"


def icmp(packet: Packet, data: bytes, errors: Sequence[int]) -> None:
    need(data, 8)
    if data[0] not in errors:
        return
    quoted, _ = (ip4 if packet.family == 4 else ip6)(data[8:])
    if quoted.client != packet.vip:
        raise ValueError("about a packet that the virtual address did not send")
    packet.client = quoted.vip
    (behind_ip4 if packet.family == 4 else behind_ip6)(packet, data[8:], about=True)


def solicitation(packet: Packet, data: bytes, hop_limit: int) -> None:
    need(data, 24)
    if data[1] != 0 or hop_limit != 255:
        raise ValueError("not from this link")
    packet.vip, packet.kind = IPv6Address(data[8:24]), "nd"
