"""Each kind of frame in each state of its bucket, through both programs, against the model."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farmd.config import Rule
from tests.datapath import model
from tests.datapath.farm import ALL_STATES, Farm, open_farm
from tests.datapath.packets import CLIENT4, PACKETS, ip4, ip6, tcp, to_vip, udp

pytestmark = pytest.mark.needs_root

SHORTEST = 14  # BPF_PROG_TEST_RUN takes no less than an Ethernet header
WHOLE = (
    "tcp_data_v4",
    "udp_v4",
    "vlan_tcp_syn_v4",
    "icmp_unreachable_about_tcp_v4",
    "arp_request",
    "tcp_data_v6",
    "all_extensions_v6",
    "icmp_too_big_about_extension_v6",
    "ns_multicast",
    "first_fragment_udp_v6",
)


@pytest.mark.parametrize("state", ALL_STATES)
def test_every_packet_in_every_state(farm: Farm, state: str) -> None:
    farm.install_all(state)
    for name, frame in PACKETS.items():
        try:
            farm.check(frame)
        except AssertionError as error:
            raise AssertionError(f"{name} while {state}: {error}") from None


def test_the_packets_cover_every_outcome_without_a_socket(farm: Farm) -> None:
    seen = set()
    for state in ALL_STATES:
        farm.install_all(state)
        seen |= {farm.check(frame) for frame in PACKETS.values()}
    assert seen | {"draining", "drop_fenced"} == set(farm.datapath.counters()) | {"foreign", "draining"}


def test_past_the_lease_every_packet_for_the_farm_is_dropped(farm: Farm) -> None:
    farm.lease(holds=False)
    outcomes = {farm.check(frame) for frame in PACKETS.values()}
    assert outcomes == {"foreign", "drop_fenced"}


@pytest.mark.parametrize("name", WHOLE)
def test_cut_off_at_every_length(farm: Farm, name: str) -> None:
    for length in range(SHORTEST, len(PACKETS[name])):
        farm.check(PACKETS[name][:length])


def test_states_are_those_of_the_clients_own_bucket(farm: Farm) -> None:
    shuffled = random.Random(1)
    farm.install([shuffled.choice(ALL_STATES) for _ in range(model.BUCKETS)])
    for host in range(1, 255):
        farm.check(bytes(to_vip(ip4(IPv4Address(f"10.1.2.{host}")) / tcp("S"))))
        farm.check(bytes(to_vip(ip6(IPv6Address(f"fd00:1::{host:x}")) / tcp("PA"))))


@pytest.mark.parametrize("affinity", ["client", "network", "connection"])
def test_affinity_of_a_rule(farm: Farm, affinity: str) -> None:
    farm.rules(
        Rule(ports=(80, 443), protocol="tcp", affinity=affinity),  # type: ignore[arg-type]
        Rule(ports=(80,), protocol="udp", affinity="client" if affinity == "connection" else "connection"),
    )
    for frame in PACKETS.values():
        farm.check(frame)
    for client in ("10.1.2.3", "192.0.2.255", "255.255.255.255"):
        farm.check(bytes(to_vip(ip4(IPv4Address(client)) / tcp("S"))))
    for client6 in ("fd00:1:2:3:4:5:6:7", "2001:db8::ffff:0:0:1"):
        farm.check(bytes(to_vip(ip6(IPv6Address(client6)) / tcp("S"))))
    farm.rules()
    for frame in PACKETS.values():
        farm.check(frame)


def test_what_shares_an_affinity_shares_a_bucket(farm: Farm) -> None:
    farm.rules(Rule((80,), "tcp", "network"), Rule((80,), "udp", "connection"))
    assert (
        len({accepted_in(farm, bytes(to_vip(ip4(IPv4Address(f"10.1.2.{host}")) / tcp("S")))) for host in (1, 9, 254)})
        == 1
    )
    assert (
        len({accepted_in(farm, bytes(to_vip(ip6(IPv6Address(f"fd00:1::{host}")) / tcp("S")))) for host in (1, 9)}) == 1
    )
    ports = [40000, 40001, 40002]
    assert len({accepted_in(farm, bytes(to_vip(ip4() / udp().__class__(sport=port, dport=80)))) for port in ports}) == 3


def test_a_flows_icmp_errors_come_to_its_bucket(farm: Farm) -> None:
    farm.rules(Rule((80,), "tcp", "connection"), Rule((80,), "udp", "connection"))
    for family, big in (("v4", "frag_needed"), ("v6", "too_big")):
        for protocol, packet in (("tcp", "tcp_data"), ("udp", "udp")):
            flow = accepted_in(farm, PACKETS[f"{packet}_{family}"])
            assert accepted_in(farm, PACKETS[f"icmp_{big}_about_{protocol}_{family}"]) == flow


def test_all_fragments_of_a_packet_come_to_one_bucket(farm: Farm) -> None:
    farm.rules(Rule((80,), "udp", "connection"))
    for family in ("v4", "v6"):
        fragments = {accepted_in(farm, PACKETS[f"{which}_fragment_udp_{family}"]) for which in ("first", "last")}
        assert len(fragments) == 1


def test_two_farms_on_one_interface(farm: Farm) -> None:
    vips = [ip_address("10.0.0.101"), ip_address("fd00::101")]
    with open_farm(farm.programs, "shop", vips, key=bytes(range(16))) as shop:
        farm.install_all("other")
        for frame in PACKETS.values():
            farm.check(frame, [shop])
        for packet in (ip4(destination=vips[0]) / tcp("S"), ip6(destination=vips[1]) / tcp("S")):  # type: ignore[arg-type]
            assert farm.check(bytes(to_vip(packet)), [shop]) == "owned"
        shop.lease(holds=False)
        assert farm.check(bytes(to_vip(ip4(destination=vips[0]) / tcp("S"))), [shop]) == "drop_fenced"  # type: ignore[arg-type]
    assert farm.check(bytes(to_vip(ip4(destination=vips[0]) / tcp("S")))) == "foreign"  # type: ignore[arg-type]


def test_clients_spread_evenly(farm: Farm) -> None:
    """Chi-square over all buckets: neighbouring addresses, as clients have them, fall like random ones."""
    clients, first = 20 * model.BUCKETS, int(CLIENT4)
    for number in range(clients):
        client = IPv4Address(first + number).packed
        farm.programs.run_tc(PACKETS["tcp_syn_v4"][:26] + client + PACKETS["tcp_syn_v4"][30:])
    expected = clients / model.BUCKETS
    chi_square = sum((count - expected) ** 2 / expected for count in farm.datapath.bucket_packets())
    freedom = model.BUCKETS - 1
    assert abs(chi_square - freedom) < 4 * (2 * freedom) ** 0.5


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frame=st.binary(min_size=SHORTEST, max_size=200), state=st.sampled_from(ALL_STATES))
def test_random_bytes(farm: Farm, frame: bytes, state: str) -> None:
    farm.install_all(state)
    farm.check(frame)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(PACKETS)),
    changes=st.lists(st.tuples(st.integers(12, 120), st.integers(0, 255)), max_size=4),
    length=st.integers(SHORTEST, 200),
    state=st.sampled_from(ALL_STATES),
)
def test_changed_packets(farm: Farm, name: str, changes: list[tuple[int, int]], length: int, state: str) -> None:
    frame = bytearray(PACKETS[name])
    for at, value in changes:
        frame[at % len(frame)] = value
    farm.install_all(state)
    farm.check(bytes(frame[:length]))


def test_the_models_hash_is_siphash13() -> None:
    """CPython hashes bytes with SipHash-1-3, with the key zero when its hash seed is 0."""
    assert sys.hash_info.algorithm == "siphash13"
    script = "print(*(hash(bytes(range(length))) for length in range(1, 64)))"
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    for length, theirs in enumerate(map(int, printed.stdout.split()), start=1):
        assert model.siphash13(bytes(16), bytes(range(length))) == theirs % 2**64


def accepted_in(farm: Farm, frame: bytes) -> int:
    """The bucket in which the kernel counted the frame."""
    before = farm.datapath.bucket_packets()
    farm.programs.run_tc(frame)
    (bucket,) = (at for at, now in enumerate(farm.datapath.bucket_packets()) if now != before[at])
    return bucket
