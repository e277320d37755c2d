"""The virtual MAC of a farm or mirror."""

from __future__ import annotations

import hashlib

from farmd.kit.toml import Address


def virtual_mac(name: str, vip: Address) -> bytes:
    """6 bytes, the same on every node: a hash of the farm's or mirror's name and its first virtual address.

    Unicast, so that hosts accept it in ARP, and locally administered, so that it is no manufacturer's (IEEE 802).
    """
    identity = name.encode() + b"\0" + vip.packed
    first, *rest = hashlib.blake2b(identity, digest_size=6, person=b"farmd.vmac").digest()
    return bytes([first & 0b1111_1100 | 0b0000_0010, *rest])
