"""A farm's part of the filter on an interface: what the daemon tells it and what it counts.

The filter outlives the daemon. A daemon that comes back finds its slot as it was, and packets flow on meanwhile as
long as the lease that it asked for.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from bpf import layout, vips
from farmd import claims, interface_filter
from farmd.config import Rule
from farmd.pins import Pins

_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}


class Datapath:
    """One slot. Not for several threads at once."""

    def __init__(self, interface: str, joined: interface_filter.Joined) -> None:
        """Use `Datapath.open()`."""
        self._interface = interface
        self._slots = joined.slots
        self._index = joined.index
        self._slot: Any = joined.slots[joined.index]
        self.mode: str = joined.mode.name
        """native, generic, or off: where packets for others are dropped (off: in TC)."""
        self.mode_reason: str = joined.mode.reason
        """Why this mode, in words."""

    @classmethod
    def open(cls, interface: str, farm: str, mode: str) -> Datapath:
        """Take the farm's slot of the interface's filter; mode is auto, native, generic or off. The caller holds the
        farm's lock (`hold_farm_lock`). Raises MachineError if this machine or the interface cannot.
        """
        return cls(interface, interface_filter.join(interface, farm, mode))

    def close(self, keep: bool = False) -> None:
        """Leave: the filter stops answering, the slot is free, the last farm takes the filter off the interface. The
        virtual addresses must be off the machine by then, for afterwards nothing filters them. With `keep`, all of it
        stays as it is for a successor, within the lease.
        """
        del self._slot
        if keep:
            self._slots.close()
        else:
            interface_filter.leave(self._interface, self._slots, self._index)

    def configure(
        self, addresses: Iterable[IPv4Address | IPv6Address], rules: Iterable[Rule], vmac: bytes, mac: bytes
    ) -> None:
        """The farm's virtual addresses, its rules, its virtual MAC and the interface's own, 6 bytes each. Raises
        MachineError if an address is another farm's on this interface.
        """
        addresses = list(addresses)
        self._slot.vmac[:] = vmac
        self._slot.mac[:] = mac
        self._slots.set_rules(self._index, _affinities(rules))
        now = {words for words, slot in claims.owners(self._slots.maps).items() if slot == self._index}
        if now != {vips.words(address) for address in addresses}:  # else the lock, which another may have, is spared
            with Pins(self._interface).lock:
                claims.claim(self._slots.maps, self._index, addresses, self._slots.name)

    def set_hash_key(self, key: bytes) -> None:
        """The farm's secret that the filter hashes with, 16 bytes."""
        half = len(key) // 2
        self._slot.hash_key[:] = [int.from_bytes(part, "little") for part in (key[:half], key[half:])]

    def install(self, states: bytes) -> None:
        """What this node does with each bucket, one byte an `enum bucket_state`. Written to the table that is not in
        force; then one store puts it in force.
        """
        inactive = 1 - self._slot.active
        table = self._slots.table(self._index, inactive)
        assert len(states) == ctypes.sizeof(table), "a state for each bucket"
        ctypes.memmove(ctypes.addressof(table), states, len(states))
        self._slot.active = inactive

    def renew(self, lease_until_ns: int) -> None:
        """Let the filter answer until this time of CLOCK_MONOTONIC. An earlier one than before shortens the lease; 0
        closes at once. The filter reads the coarse clock, which lags by up to a tick of the kernel (1 to 10 ms).
        """
        self._slot.lease_until_ns = lease_until_ns

    @property
    def lease_until_ns(self) -> int:
        """Until when the filter answers, in CLOCK_MONOTONIC."""
        until: int = self._slot.lease_until_ns
        return until

    def counters(self) -> dict[str, int]:
        """Every counter of `struct counters` by its name in C."""
        each = self._slots.maps.read_each("counters", self._index)
        return {name: sum(getattr(one, name) for one in each) for name, _ in each[0]._fields_}

    def bucket_packets(self) -> list[int]:
        """Packets accepted, for each bucket."""
        each = self._slots.maps.read_each("bucket_packets", self._index)
        return [sum(column) for column in zip(*(one.packets for one in each), strict=True)]


def _affinities(rules: Iterable[Rule]) -> dict[tuple[int, int], int]:
    """What the filter is told: only what differs from its default, the client's address."""
    affinity = layout.enum("affinity")
    return {
        (_PROTOCOLS[rule.protocol], port): affinity[rule.affinity.upper()]
        for rule in rules
        for port in rule.ports
        if rule.affinity != "client"
    }
