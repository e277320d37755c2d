"""What is told to the neighbours of a virtual address, and what is understood of what they tell; scapy reads and writes
the same packets.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr
from scapy.layers.l2 import ARP

from mirrord import announcements

MAC, MAC_TEXT = bytes.fromhex("020000000001"), "02:00:00:00:00:01"
VIP4, VIP6 = IPv4Address("10.0.0.200"), IPv6Address("fd00::200")


def test_an_arp_announcement_is_a_request_for_ones_own_address() -> None:
    """RFC 5227, 2.3: sender and target IP address are both the announced one."""
    said = ARP(announcements.arp_announcement(MAC, VIP4))
    assert (said.op, said.hwsrc, said.psrc, said.pdst) == (1, MAC_TEXT, str(VIP4), str(VIP4))


def test_an_arp_probe_claims_nothing() -> None:
    """RFC 5227, 2.1.1: the sender's IP address is zero, lest it pollute caches."""
    said = ARP(announcements.arp_probe(MAC, VIP4))
    assert (said.op, said.hwsrc, said.psrc, said.pdst) == (1, MAC_TEXT, "0.0.0.0", str(VIP4))
    assert announcements.arp_claim(bytes(said)) is None


def test_an_advertisement_is_unsolicited_and_overrides() -> None:
    """RFC 4861, 7.2.6."""
    said = ICMPv6ND_NA(announcements.advertisement(MAC, VIP6))
    assert (said.type, said.R, said.S, said.O, said.tgt) == (136, 0, 0, 1, str(VIP6))
    assert said[ICMPv6NDOptDstLLAddr].lladdr == MAC_TEXT


def test_a_solicitation_asks_for_the_address() -> None:
    """RFC 4861, 4.3."""
    said = ICMPv6ND_NS(announcements.solicitation(MAC, VIP6))
    assert (said.type, said.tgt, said[ICMPv6NDOptSrcLLAddr].lladdr) == (135, str(VIP6), MAC_TEXT)
    assert announcements.neighbour_claim(bytes(said)) is None


@pytest.mark.parametrize("op", [1, 2])
def test_who_sends_arp_from_an_address_claims_it(op: int) -> None:
    packet = bytes(ARP(op=op, hwsrc=MAC_TEXT, psrc=str(VIP4), pdst="10.0.0.7")) + bytes(18)
    assert announcements.arp_claim(packet) == (MAC, VIP4)


def test_who_advertises_an_address_claims_it() -> None:
    said = bytes(ICMPv6ND_NA(tgt=str(VIP6)) / ICMPv6NDOptDstLLAddr(lladdr=MAC_TEXT))
    assert announcements.neighbour_claim(said) == (MAC, VIP6)
    assert announcements.neighbour_claim(bytes(ICMPv6ND_NA(tgt=str(VIP6)))) is None


@given(st.binary(max_size=100))
def test_nothing_that_arrives_is_a_trouble(packet: bytes) -> None:
    for claim in (announcements.arp_claim(packet), announcements.neighbour_claim(bytes([136]) + packet)):
        assert claim is None or len(claim[0]) == 6
