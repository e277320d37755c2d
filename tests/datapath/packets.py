"""Every kind of frame that the filter tells apart, by name, built once with scapy."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

VIP4, VIP6 = IPv4Address("10.0.0.100"), IPv6Address("fd00::100")
CLIENT4, CLIENT6 = IPv4Address("10.0.0.9"), IPv6Address("fd00::9")
ROUTER4, ROUTER6 = IPv4Address("10.0.9.1"), IPv6Address("fd00:9::1")
STRANGER4, STRANGER6 = IPv4Address("10.0.0.7"), IPv6Address("fd00::7")
GROUP6 = IPv6Address("ff02::1:ff00:100")  # the solicited-node address of the VIP
CLIENT_PORT, VIP_PORT = 40000, 80

CLIENT_MAC = bytes.fromhex("02000000000c")
NODE_MAC = bytes.fromhex("020000000002")
VMAC = bytes.fromhex("02fa00000001")
GROUP_MAC = bytes.fromhex("3333ff000100")
BROADCAST = bytes.fromhex("ffffffffffff")


def to_vip(packet: Packet, to: bytes = VMAC) -> Packet:
    """As it comes from the client."""
    return Ether(dst=mac(to), src=mac(CLIENT_MAC)) / packet


def mac(raw: bytes) -> str:
    return raw.hex(":")


def ip4(source: IPv4Address = CLIENT4, destination: IPv4Address = VIP4, **fields: Any) -> Packet:
    return IP(src=str(source), dst=str(destination), **fields)


def ip6(source: IPv6Address = CLIENT6, destination: IPv6Address = VIP6, **fields: Any) -> Packet:
    return IPv6(src=str(source), dst=str(destination), **fields)


def tcp(flags: str) -> Packet:
    return TCP(sport=CLIENT_PORT, dport=VIP_PORT, flags=flags, seq=1000, ack=2000)


def udp() -> Packet:
    return UDP(sport=CLIENT_PORT, dport=VIP_PORT) / b"question"


# What we sent, as an ICMP error quotes it.
SENT_TCP = TCP(sport=VIP_PORT, dport=CLIENT_PORT, flags="A", seq=2000)
SENT_UDP = UDP(sport=VIP_PORT, dport=CLIENT_PORT) / b"answer"
FLAGS = {"syn": "S", "synack": "SA", "data": "PA", "rst": "R", "fin": "FA", "ecn_syn": "SEC", "null": ""}


def transports() -> dict[str, Packet]:
    frames: dict[str, Packet] = {}
    for family, ip in (("v4", ip4()), ("v6", ip6())):
        for name, flags in FLAGS.items():
            frames[f"tcp_{name}_{family}"] = to_vip(ip / tcp(flags))
            frames[f"vlan_tcp_{name}_{family}"] = Ether(dst=mac(VMAC)) / Dot1Q(vlan=7) / ip / tcp(flags)
        frames[f"udp_{family}"] = to_vip(ip / udp())
        frames[f"service_vlan_udp_{family}"] = Ether(dst=mac(VMAC)) / Dot1AD(vlan=7) / ip / udp()
        frames[f"two_vlans_{family}"] = Ether(dst=mac(VMAC)) / Dot1Q(vlan=7) / Dot1Q(vlan=8) / ip / udp()
    frames["icmp_echo_v4"] = to_vip(ip4() / ICMP(id=1, seq=1) / b"ping")
    frames["icmp_redirect_v4"] = to_vip(ip4(ROUTER4) / ICMP(type=5) / ip4(VIP4, CLIENT4) / SENT_TCP)
    frames["icmp_echo_v6"] = to_vip(ip6() / ICMPv6EchoRequest(id=1, seq=1, data=b"ping"))
    frames["other_protocol_v4"] = to_vip(ip4(proto=47) / Raw(b"tunnel"))
    frames["other_protocol_v6"] = to_vip(ip6(nh=47) / Raw(b"tunnel"))
    frames["options_v4"] = to_vip(IP(src=str(CLIENT4), dst=str(VIP4), options=b"\x01" * 8) / tcp("S"))
    frames["icmp6_in_ip4"] = to_vip(ip4(proto=58) / Raw(bytes(8)))
    frames["icmp4_in_ip6"] = to_vip(ip6(nh=1) / Raw(bytes(8)))
    return frames


def errors() -> dict[str, Packet]:
    """Each ICMP error about each kind of packet that we may have sent."""
    errors4 = {
        "unreachable": ICMP(type=3, code=1),
        "frag_needed": ICMP(type=3, code=4, nexthopmtu=1400),
        "time_exceeded": ICMP(type=11),
        "parameter": ICMP(type=12),
    }
    sent4 = ip4(VIP4, CLIENT4)
    quoted4 = {
        "tcp": sent4 / SENT_TCP,
        "tcp_8_bytes": Raw(bytes(sent4 / SENT_TCP)[:28]),
        "tcp_7_bytes": Raw(bytes(sent4 / SENT_TCP)[:27]),
        "udp": sent4 / SENT_UDP,
        "icmp": sent4 / ICMP(type=0),
        "first_fragment": ip4(VIP4, CLIENT4, flags="MF") / SENT_UDP,
        "later_fragment": ip4(VIP4, CLIENT4, frag=3, proto=6) / Raw(bytes(16)),
        "options": IP(src=str(VIP4), dst=str(CLIENT4), options=b"\x01" * 4) / SENT_TCP,
        "short_header": ip4(VIP4, CLIENT4, ihl=4) / SENT_TCP,
        "strangers": ip4(STRANGER4, CLIENT4) / SENT_TCP,
        "other_version": ip6(VIP6, CLIENT6) / SENT_TCP,
        "nothing": Raw(b""),
    }
    errors6 = {
        "unreachable": ICMPv6DestUnreach(),
        "too_big": ICMPv6PacketTooBig(mtu=1400),
        "time_exceeded": ICMPv6TimeExceeded(),
        "parameter": ICMPv6ParamProblem(),
    }
    sent6 = ip6(VIP6, CLIENT6)
    quoted6 = {
        "tcp": sent6 / SENT_TCP,
        "tcp_8_bytes": Raw(bytes(sent6 / SENT_TCP)[:48]),
        "tcp_7_bytes": Raw(bytes(sent6 / SENT_TCP)[:47]),
        "udp": sent6 / SENT_UDP,
        "icmp": sent6 / ICMPv6EchoReply(),
        "first_fragment": sent6 / IPv6ExtHdrFragment(m=1, nh=17) / SENT_UDP,
        "later_fragment": sent6 / IPv6ExtHdrFragment(offset=3, nh=6) / Raw(bytes(16)),
        "extension": sent6 / IPv6ExtHdrDestOpt() / SENT_TCP,
        "strangers": ip6(STRANGER6, CLIENT6) / SENT_TCP,
        "other_version": sent4 / SENT_TCP,
        "nothing": Raw(b""),
    }
    four = {
        f"icmp_{error}_about_{about}_v4": to_vip(ip4(ROUTER4) / header / quoted)
        for error, header in errors4.items()
        for about, quoted in quoted4.items()
    }
    six = {
        f"icmp_{error}_about_{about}_v6": to_vip(ip6(ROUTER6) / header / quoted)
        for error, header in errors6.items()
        for about, quoted in quoted6.items()
    }
    return four | six


def fragments() -> dict[str, Packet]:
    later = Raw(bytes(24))
    return {
        "first_fragment_tcp_v4": to_vip(ip4(flags="MF") / tcp("S")),
        "first_fragment_udp_v4": to_vip(ip4(flags="MF") / udp()),
        "later_fragment_tcp_v4": to_vip(ip4(frag=3, flags="MF", proto=6) / later),
        "last_fragment_udp_v4": to_vip(ip4(frag=6, proto=17) / later),
        "dont_fragment_v4": to_vip(ip4(flags="DF") / udp()),
        "first_fragment_icmp_v4": to_vip(ip4(flags="MF") / ICMP()),
        "first_fragment_tcp_v6": to_vip(ip6() / IPv6ExtHdrFragment(m=1, nh=6) / tcp("S")),
        "first_fragment_udp_v6": to_vip(ip6() / IPv6ExtHdrFragment(m=1, nh=17) / udp()),
        "later_fragment_tcp_v6": to_vip(ip6() / IPv6ExtHdrFragment(offset=3, m=1, nh=6) / later),
        "last_fragment_udp_v6": to_vip(ip6() / IPv6ExtHdrFragment(offset=6, nh=17) / later),
        "atomic_fragment_v6": to_vip(ip6() / IPv6ExtHdrFragment(nh=6) / tcp("S")),
        "fragment_with_options_inside_v6": to_vip(ip6() / IPv6ExtHdrFragment(m=1, nh=60) / IPv6ExtHdrDestOpt() / udp()),
    }


def extensions() -> dict[str, Packet]:
    each = {
        "hop_by_hop": IPv6ExtHdrHopByHop(),
        "routing": IPv6ExtHdrRouting(addresses=["fd00::1"]),
        "destination": IPv6ExtHdrDestOpt(),
        "authentication": AH(nh=6, payloadlen=4, spi=1, seq=1, icv=bytes(12)),
    }
    frames = {f"extension_{name}_v6": to_vip(ip6() / header / tcp("S")) for name, header in each.items()}
    chain = ip6()
    for count in range(1, 8):
        chain = chain / IPv6ExtHdrDestOpt()
        frames[f"{count}_extensions_v6"] = to_vip(chain / tcp("S"))
    frames["long_extension_v6"] = to_vip(ip6(nh=60) / Raw(bytes([6, 9]) + bytes(78)) / tcp("S"))
    frames["extension_beyond_the_end_v6"] = to_vip(ip6(nh=60) / Raw(bytes([6, 200]) + bytes(30)))
    frames["all_extensions_v6"] = to_vip(
        ip6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt() / tcp("PA")
    )
    return frames


def arp(to: bytes = BROADCAST, **fields: Any) -> Packet:
    who: dict[str, Any] = {"hwsrc": mac(CLIENT_MAC), "psrc": str(CLIENT4), "pdst": str(VIP4)} | fields
    return to_vip(ARP(**who), to)


def changed(packet: Packet, at: int, value: int) -> Packet:
    """The same frame with one byte of another value, for what scapy would not build."""
    frame = bytearray(bytes(packet))
    frame[at] = value
    return Raw(bytes(frame))


def solicitation(to: bytes = GROUP_MAC, target: IPv6Address = VIP6, code: int = 0, **fields: Any) -> Packet:
    ip: dict[str, Any] = {"source": CLIENT6, "destination": GROUP6, "hlim": 255} | fields
    option = ICMPv6NDOptSrcLLAddr(lladdr=mac(CLIENT_MAC))
    return to_vip(ip6(**ip) / ICMPv6ND_NS(tgt=str(target), code=code) / option, to)


def neighbours() -> dict[str, Packet]:
    """Who asks for the link-layer address of the VIP, and what only resembles it."""
    probe = ip6(IPv6Address("::"), GROUP6, hlim=255) / ICMPv6ND_NS(tgt=str(VIP6))
    return {
        "arp_request": arp(),
        "arp_unicast_request": arp(VMAC),
        "arp_probe": arp(psrc="0.0.0.0"),
        "arp_announcement": arp(psrc=str(VIP4)),
        "arp_reply": arp(VMAC, op=2),
        "arp_for_another": arp(pdst=str(STRANGER4)),
        "arp_other_hardware": changed(arp(), 15, 6),
        "arp_other_protocol": changed(arp(), 17, 1),
        "arp_other_hardware_length": changed(arp(), 18, 8),
        "arp_other_protocol_length": changed(arp(), 19, 16),
        "vlan_arp_request": Ether(dst=mac(BROADCAST), src=mac(CLIENT_MAC)) / Dot1Q(vlan=7) / arp()[ARP],
        "ns_multicast": solicitation(),
        "ns_unicast": solicitation(VMAC, destination=VIP6),
        "ns_probe": to_vip(probe, GROUP_MAC),
        "ns_for_another": solicitation(target=STRANGER6),
        "ns_for_another_to_vip": solicitation(target=STRANGER6, destination=VIP6),
        "ns_from_afar": solicitation(VMAC, destination=VIP6, hlim=64),
        "ns_with_code": solicitation(VMAC, destination=VIP6, code=1),
        "vlan_ns": Ether(dst=mac(GROUP_MAC), src=mac(CLIENT_MAC)) / Dot1Q(vlan=7) / solicitation()[IPv6],
        "na_to_vip": to_vip(ip6(hlim=255) / ICMPv6ND_NA(tgt=str(CLIENT6))),
        "rs": to_vip(ip6(hlim=255) / ICMPv6ND_RS()),
    }


def strangers() -> dict[str, Packet]:
    """What is not for the VIP, or is no packet at all."""
    return {
        "tcp_to_another_v4": to_vip(ip4(destination=STRANGER4) / tcp("S"), NODE_MAC),
        "tcp_to_another_v6": to_vip(ip6(destination=STRANGER6) / tcp("S"), NODE_MAC),
        "tcp_from_vip_v4": to_vip(ip4(VIP4, STRANGER4) / tcp("S")),
        "tcp_to_zero_v6": to_vip(ip6(destination=IPv6Address("::")) / tcp("S")),
        "tcp_to_mapped_vip_v6": to_vip(ip6(destination=IPv6Address("::ffff:10.0.0.100")) / tcp("S")),
        "lldp": Ether(dst="01:80:c2:00:00:0e", type=0x88CC) / Raw(bytes(30)),
        "version_5": to_vip(ip4(version=5) / tcp("S")),
        "version_4_in_v6": to_vip(ip6(version=4) / tcp("S")),
        "header_too_short": to_vip(ip4(ihl=4) / tcp("S")),
        "header_beyond_the_end": to_vip(ip4(ihl=15) / tcp("S")),
    }


def named() -> dict[str, bytes]:
    """Every frame above."""
    every = transports() | errors() | fragments() | extensions() | neighbours() | strangers()
    return {name: bytes(packet) for name, packet in every.items()}


PACKETS = named()
