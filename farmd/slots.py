"""The slots of one interface's filter: which farm has which, taking one and freeing it."""

from __future__ import annotations

import ctypes
import socket
import time
from collections.abc import Mapping
from typing import Any

from farmd import claims
from farmd.errors import MachineError
from farmd.kit.lock import farm_lock_is_held
from farmd.maps import Maps
from farmd.pins import Pins

RuleKey = tuple[int, int]
"""IP protocol number and destination port."""


class Slots:
    """The slots and what belongs to them. Who takes or frees one holds the interface's lock."""

    def __init__(self, pins: Pins) -> None:
        self.maps = Maps(pins)
        self._slots = self.maps.elements("slots")
        self._tables = self.maps.elements("bucket_tables")

    def close(self) -> None:
        """Let go; nothing in the filter changes."""
        self._slots.clear()
        self._tables.clear()
        self.maps.close()

    def __getitem__(self, index: int) -> Any:
        """`struct slot` in the filter's own memory: to assign to a field is one store, seen by the next packet."""
        return self._slots[index]

    def table(self, index: int, which: int) -> Any:
        """One of the slot's two `struct bucket_table`, in the filter's own memory; slot.active is in force."""
        return self._tables[2 * index + which]

    def name(self, index: int) -> str:
        """The farm that has the slot; empty if it is free."""
        farm: bytes = self._slots[index].farm
        return farm.decode()

    def farms(self) -> dict[str, int]:
        """The farms on the interface, dead ones included, and their slots."""
        return {slot.farm.decode(): index for index, slot in enumerate(self._slots) if slot.farm}

    def in_use(self, farm: str) -> bool:
        """Whether the farm's daemon lives, or the lease that it left for its successor still runs."""
        lease: int = self._slots[self.farms()[farm]].lease_until_ns
        return farm_lock_is_held(farm) or lease > time.monotonic_ns()

    def take(self, farm: str) -> int:
        """The farm's slot as it was left, by a crash or for a successor; or else a free one."""
        taken = self.farms()
        if farm in taken:
            return taken[farm]
        for index, slot in enumerate(self._slots):
            if not slot.farm:
                slot.farm = farm.encode()
                return index
        raise MachineError(f"the interface's filter has no room for one more farm beside {', '.join(taken)}")

    def free(self, index: int) -> None:
        """Empty the slot; its virtual addresses are nothing special to the filter any more. The name goes last: a
        slot whose freeing was cut short is still somebody's, who is dead, and will be freed again.
        """
        slot = self._slots[index]
        slot.lease_until_ns = 0
        claims.claim(self.maps, index, (), self.name)
        self.set_rules(index, {})
        self.maps.clear_each("counters", index)
        self.maps.clear_each("bucket_packets", index)
        for which in (0, 1):
            table = self.table(index, which)
            ctypes.memset(ctypes.addressof(table), 0, ctypes.sizeof(table))
        ctypes.memset(ctypes.addressof(slot), 0, type(slot).farm.offset)
        slot.farm = b""

    def set_rules(self, index: int, affinities: Mapping[RuleKey, int]) -> None:
        """Make these, and no others, the slot's rules: an enum affinity for each."""
        types = self.maps.layouts["rules"]
        stale = {bytes(key): key for key in self.maps.keys("rules") if key.slot == index}
        for (protocol, port), affinity in affinities.items():
            key = types.key(slot=index, protocol=protocol, port=socket.htons(port))
            self.maps.put("rules", key, types.value(affinity=affinity))
            stale.pop(bytes(key), None)
        self._slots[index].rules = len(affinities)
        for key in stale.values():
            self.maps.drop("rules", key)
