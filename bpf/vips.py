"""Virtual addresses as the filter keeps them: their form in memory, and which set of vip_sets they are in.

The one place in user space that computes what vip_set_of() in hash.h computes.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from bpf.layout import number


class Words(tuple[int, ...]):
    """The four words of `struct address`, as they lie in memory; IPv4 is mapped into IPv6 (::ffff:a.b.c.d)."""

    __slots__ = ()

    def __str__(self) -> str:
        address = IPv6Address(struct.pack("=4I", *self))
        return str(address.ipv4_mapped or address)


def words(address: IPv4Address | IPv6Address) -> Words:
    """The address in the filter's form."""
    packed = address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
    return Words(struct.unpack("=4I", packed))


def set_of(address: Words) -> int:
    """The set in which the address is, if anywhere."""
    one, two, three, four = address
    product = (one ^ two ^ three ^ four) * number("VIP_SET_FACTOR") & 0xFFFFFFFF
    return product >> number("VIP_SET_SHIFT")
