"""What the lab's clients and its watch conclude from what they see."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from lab import gaps
from lab.duplicates import FLOWS_MAX, Watch
from lab.gaps import Experience

CLIENT, VIP, CLIENT6, VIP6 = "10.0.1.1", "10.0.0.100", "fd00::1:1", "fd00::100"
CLIENT_MAC, VMAC, NODE_MAC = "02:00:00:00:00:01", "02:00:00:00:0f:0f", "02:00:00:00:00:02"


def asked(packet: Packet) -> tuple[bytes, bool]:
    return bytes(Ether(src=CLIENT_MAC, dst=VMAC) / packet), True


def answered(packet: Packet, source: str = NODE_MAC) -> tuple[bytes, bool]:
    return bytes(Ether(src=source, dst=CLIENT_MAC) / packet), False


def syn(number: int = 1000, port: int = 5000) -> tuple[bytes, bool]:
    return asked(IP(src=CLIENT, dst=VIP) / TCP(sport=port, dport=80, flags="S", seq=number))


def reply(flags: str, number: int, acknowledged: int = 1001) -> tuple[bytes, bool]:
    segment = TCP(sport=80, dport=5000, flags=flags, seq=number, ack=acknowledged)
    return answered(IP(src=VIP, dst=CLIENT) / segment)


def ping() -> tuple[bytes, bool]:
    return asked(IP(src=CLIENT, dst=VIP) / ICMP(type=8, id=7, seq=1))


def pong() -> tuple[bytes, bool]:
    return answered(IP(src=VIP, dst=CLIENT) / ICMP(type=0, id=7, seq=1))


def ping6() -> tuple[bytes, bool]:
    return asked(IPv6(src=CLIENT6, dst=VIP6) / ICMPv6EchoRequest(id=7, seq=1))


def pong6() -> tuple[bytes, bool]:
    return answered(IPv6(src=VIP6, dst=CLIENT6) / ICMPv6EchoReply(id=7, seq=1))


@pytest.mark.parametrize(
    ("frames", "duplicates"),
    [
        pytest.param([syn(), reply("SA", 1)], 0, id="one node"),
        pytest.param([syn(), reply("SA", 1), reply("SA", 1)], 0, id="TCP repeats its SYN-ACK"),
        pytest.param([syn(), reply("SA", 1), reply("SA", 2)], 1, id="two nodes"),
        pytest.param([syn(), reply("SA", 1), reply("SA", 2), reply("SA", 3)], 2, id="three nodes"),
        pytest.param([syn(), reply("SA", 1), reply("RA", 0)], 1, id="one node, and one that refuses"),
        pytest.param([syn(), reply("RA", 0)], 0, id="refused by one"),
        pytest.param([syn(), reply("SA", 1), reply("R", 1001)], 0, id="a reset later on"),
        pytest.param([syn(), reply("SA", 1), reply("RA", 500, 1400)], 0, id="a reset with data before it"),
        pytest.param([syn(), reply("SA", 1), syn(2000), reply("SA", 2, 2001)], 0, id="the port used again"),
        pytest.param([syn(), reply("SA", 1), syn(), reply("SA", 2)], 1, id="one node, and one when asked again"),
        pytest.param([reply("SA", 1), reply("SA", 2)], 0, id="somebody else's"),
        pytest.param([ping(), pong()], 0, id="one echo"),
        pytest.param([ping(), pong(), pong()], 1, id="two echoes"),
        pytest.param([ping6(), pong6(), pong6()], 1, id="two IPv6 echoes"),
    ],
)
def test_duplicate_answers(frames: list[tuple[bytes, bool]], duplicates: int) -> None:
    watch = Watch([VIP, VIP6])
    for frame, sent in frames:
        watch.frame(frame, sent)
    assert watch.result().duplicates == duplicates


def test_the_address_that_clients_send_to_must_not_send() -> None:
    watch = Watch([VIP])
    watch.frame(*syn())
    watch.frame(*reply("SA", 1))
    assert watch.result().vmac_sources == 0
    watch.frame(*answered(IP(src="10.0.0.1", dst=CLIENT), source=VMAC))
    assert watch.result().vmac_sources == 1


def test_behind_a_router_no_address_is_taken_for_the_vmac() -> None:
    watch = Watch([VIP], routed=True)
    watch.frame(*syn())
    watch.frame(*answered(IP(src=VIP, dst=CLIENT), source=VMAC))
    assert watch.result().vmac_sources == 0


def test_short_frames_are_no_trouble() -> None:
    watch = Watch([VIP])
    whole, sent = syn()
    for length in range(len(whole)):
        watch.frame(whole[:length], sent)
    assert watch.result().questions == 0


def test_the_watch_remembers_so_many_flows_and_no_more() -> None:
    watch = Watch([VIP])
    frame, _ = syn()
    for number in range(FLOWS_MAX + 10):
        watch.frame(frame[:38] + number.to_bytes(4, "big") + frame[42:], sent=True)
    assert watch.result().questions == FLOWS_MAX + 10
    assert len(watch._answers) == FLOWS_MAX


def test_an_outage_lasts_from_the_last_success_to_the_next() -> None:
    client = Experience()
    client.success(0.0, 1.0, "n1")
    client.success(2.0, 3.0, "n1")
    client.failure(4.0, 5.0, "timeout")
    client.failure(5.0, 6.0, "timeout")
    client.success(6.0, 7.0, "n2")
    client.success(90.0, 91.0, "n2")
    assert client.outage == (3.0, 7.0)
    assert client.nodes == {"n1": 2, "n2": 2}
    assert client.requests == 6


def test_the_longest_outage_counts() -> None:
    client = Experience()
    for number, length in enumerate((1.0, 3.0, 2.0)):
        start = number * 10.0
        client.success(start, start, "n1")
        client.failure(start, start + length, "timeout")
        client.success(start + length, start + length, "n1")
    assert client.outage == (10.0, 13.0)


def test_an_outage_without_an_end_counts_so_far() -> None:
    client = Experience()
    client.failure(1.0, 2.0, "ConnectionRefusedError")
    client.failure(2.0, 4.0, "timeout")
    assert client.outage_s == 3.0


def test_failures_are_kept_up_to_a_limit() -> None:
    client = Experience()
    for _ in range(gaps.FAILURES_MAX + 1):
        client.failure(0.0, 1.0, "timeout")
    assert client.failed == gaps.FAILURES_MAX + 1
    assert len(client.failures) == gaps.FAILURES_MAX
