"""The hash of clients, against an implementation of others: CPython's own SipHash-1-3."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_address

import pytest

from farmd.core.hashing import bucket_of, siphash13
from farmd.core.view import BUCKETS

KEY = bytes(range(16))
MESSAGES = [b"", b"farmd123", bytes(8), bytes(range(16)), b"\xff" * 24, bytes(range(200))]
SMALL_STRINGS = 7
"""CPython may hash shorter strings by other means."""


def siphash_of_cpython(messages: list[bytes]) -> list[int]:
    """hash(bytes) with PYTHONHASHSEED=0 is SipHash with a key of zeros (Python/pyhash.c, PEP 456)."""
    program = "import sys; print(*(hash(bytes.fromhex(m)) for m in sys.argv[1:]))"
    answer = subprocess.run(
        [sys.executable, "-c", program, *(message.hex() for message in messages)],
        env={"PYTHONHASHSEED": "0"},
        capture_output=True,
        check=True,
        text=True,
    )
    return [int(number) % 2**64 for number in answer.stdout.split()]


@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this Python hashes by other means")
def test_it_is_the_siphash_of_cpython() -> None:
    messages = [message for message in MESSAGES if len(message) > SMALL_STRINGS]
    assert [siphash13(bytes(16), message) for message in messages] == siphash_of_cpython(messages)


def test_the_key_counts_as_a_whole() -> None:
    hashes = {siphash13(KEY[:i] + bytes([KEY[i] ^ 0x80]) + KEY[i + 1 :], bytes(8)) for i in range(16)}
    assert len(hashes) == 16


def test_by_client_neither_port_counts() -> None:
    client = ip_address("192.0.2.7")
    assert len({bucket_of(KEY, client, port, vip_port, "client") for port in (1, 2) for vip_port in (80, 443)}) == 1


def test_by_connection_both_ports_count() -> None:
    client = ip_address("192.0.2.7")
    buckets = {bucket_of(KEY, client, port, vip_port, "connection") for port in range(9) for vip_port in (80, 443)}
    assert len(buckets) > 9


@pytest.mark.parametrize(
    ("one", "neighbour", "stranger"),
    [("192.0.2.7", "192.0.2.200", "192.0.3.7"), ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1")],
)
def test_by_network_neighbours_share_a_bucket(one: str, neighbour: str, stranger: str) -> None:
    here, next_door, elsewhere = (
        bucket_of(KEY, ip_address(client), 1, 80, "network") for client in (one, neighbour, stranger)
    )
    assert here == next_door != elsewhere


def test_clients_spread_over_all_buckets() -> None:
    first = int(ip_address("10.0.0.0"))
    counts = [0] * BUCKETS
    for i in range(20 * BUCKETS):
        counts[bucket_of(KEY, ip_address(first + i), 1, 80, "client")] += 1
    # Chi-squared with 1023 degrees of freedom is 1023 +- 45; five deviations are chance once in a million.
    assert sum((count - 20) ** 2 / 20 for count in counts) < 1023 + 5 * 45
