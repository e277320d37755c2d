"""The bucket of a client, computed as the filter does (bpf/hash.h, bpf/farm.c)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from farmd.core.view import BUCKETS

Affinity = Literal["client", "network", "connection"]

_MASK = (1 << 64) - 1


def siphash13(key: bytes, message: bytes) -> int:
    """SipHash-1-3 (Aumasson and Bernstein, 2012) of a message whose length is a multiple of 8."""
    k0, k1 = (int.from_bytes(key[i : i + 8], "little") for i in (0, 8))
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    words = [int.from_bytes(message[i : i + 8], "little") for i in range(0, len(message), 8)]
    for word in [*words, (len(message) & 0xFF) << 56]:
        v[3] ^= word
        _round(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(3):
        _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def bucket_of(
    key: bytes, client: IPv4Address | IPv6Address, client_port: int, vip_port: int, affinity: Affinity
) -> int:
    """The bucket of a packet from this client and port to this port of a VIP."""
    address = client.packed
    if affinity == "network":
        kept = 3 if client.version == 4 else 8
        address = address[:kept] + bytes(len(address) - kept)
    ports = bytes(4)
    if affinity == "connection":
        ports = client_port.to_bytes(2, "big") + vip_port.to_bytes(2, "big")
    message = address + ports
    return siphash13(key, message + bytes(-len(message) % 8)) % BUCKETS


def _round(v: list[int]) -> None:
    a, b, c, d = v
    a = (a + b) & _MASK
    b = _rotate(b, 13) ^ a
    a = _rotate(a, 32)
    c = (c + d) & _MASK
    d = _rotate(d, 16) ^ c
    a = (a + d) & _MASK
    d = _rotate(d, 21) ^ a
    c = (c + b) & _MASK
    b = _rotate(b, 17) ^ c
    v[:] = a, b, _rotate(c, 32), d


def _rotate(x: int, bits: int) -> int:
    return (x << bits | x >> (64 - bits)) & _MASK
