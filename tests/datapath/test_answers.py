"""What the filter answers for the VIP to ARP requests and neighbour solicitations, byte by byte."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from tests.datapath.farm import TC_REDIRECT, Farm
from tests.datapath.packets import CLIENT4, CLIENT6, CLIENT_MAC, NODE_MAC, PACKETS, VIP4, VIP6, VMAC, mac

pytestmark = pytest.mark.needs_root

ALL_NODES, ALL_NODES_MAC = IPv6Address("ff02::1"), bytes.fromhex("333300000001")


def arp_answer(asker: str) -> Packet:
    return ARP(op=2, hwsrc=mac(VMAC), psrc=str(VIP4), hwdst=mac(CLIENT_MAC), pdst=asker)


def advertisement(to: IPv6Address, solicited: int) -> Packet:
    return (
        IPv6(src=str(VIP6), dst=str(to), hlim=255)
        / ICMPv6ND_NA(tgt=str(VIP6), R=0, S=solicited, O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=mac(VMAC))
    )


def from_node(to: bytes) -> Packet:
    """The node's own MAC is the source: the vmac in that place would be learnt by the switch."""
    return Ether(src=mac(NODE_MAC), dst=mac(to))


TAG = Dot1Q(vlan=7)
ANSWERS = {
    "arp_request": from_node(CLIENT_MAC) / arp_answer(str(CLIENT4)),
    "arp_unicast_request": from_node(CLIENT_MAC) / arp_answer(str(CLIENT4)),
    "arp_probe": from_node(CLIENT_MAC) / arp_answer("0.0.0.0"),
    "vlan_arp_request": from_node(CLIENT_MAC) / TAG / arp_answer(str(CLIENT4)),
    "ns_multicast": from_node(CLIENT_MAC) / advertisement(CLIENT6, solicited=1),
    "ns_unicast": from_node(CLIENT_MAC) / advertisement(CLIENT6, solicited=1),
    "ns_probe": from_node(ALL_NODES_MAC) / advertisement(ALL_NODES, solicited=0),
    "vlan_ns": from_node(CLIENT_MAC) / TAG / advertisement(CLIENT6, solicited=1),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer(farm: Farm, name: str) -> None:
    run = farm.programs.run_tc(PACKETS[name])
    assert run.verdict == TC_REDIRECT
    expected = bytes(ANSWERS[name])
    assert Ether(run.frame).show(dump=True) == Ether(expected).show(dump=True)
    assert run.frame == expected


def test_padding_behind_a_request_stays_harmless(farm: Farm) -> None:
    """Ethernet fills short frames up to 60 bytes."""
    padded = PACKETS["arp_request"] + bytes(18)
    assert farm.programs.run_tc(padded).frame == bytes(ANSWERS["arp_request"]) + bytes(18)
    padded = PACKETS["ns_multicast"] + bytes(18)
    assert farm.programs.run_tc(padded).frame == bytes(ANSWERS["ns_multicast"])
