"""Which virtual address on an interface is which farm's: the filter's vip_sets.

An address can be in one set only (bpf/vips.py says which), in any of the set's few ways. Changed under the interface's
lock, since a set holds addresses of several farms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from bpf import vips
from farmd.errors import MachineError
from farmd.maps import Maps


def owners(maps: Maps) -> dict[vips.Words, int]:
    """Every virtual address on the interface and its slot."""
    return {
        vips.Words(way.address.word): way.slot_number - 1
        for which in maps.indices("vip_sets")
        for way in maps.read("vip_sets", which).way
        if way.slot_number
    }


def claim(maps: Maps, slot: int, addresses: Iterable[IPv4Address | IPv6Address], name_of: Callable[[int], str]) -> None:
    """Make these addresses, and no others, the slot's. Raises MachineError, and changes nothing, if one is another
    farm's, named by `name_of(its slot)`, or finds no place.
    """
    wanted = {vips.words(address): address for address in addresses}
    now = owners(maps)
    for words, address in wanted.items():
        if now.get(words, slot) != slot:
            raise MachineError(f"{address} is a virtual address of farm {name_of(now[words])} on this interface")
    after = {words: owner for words, owner in now.items() if owner != slot} | dict.fromkeys(wanted, slot)
    before = {which: maps.read("vip_sets", which) for which in maps.indices("vip_sets")}
    arranged = {which: _arrange(which, ways, after) for which, ways in before.items()}
    for which, ways in arranged.items():
        if bytes(ways) != bytes(before[which]):
            maps.write("vip_sets", which, ways)


def _arrange(which: int, before: Any, wanted: Mapping[vips.Words, int]) -> Any:
    """The set as it shall be. What stays in it keeps its way, so that no packet misses it while the set is written."""
    missing = {words: owner for words, owner in wanted.items() if vips.set_of(words) == which}
    after = type(before)()
    free = []
    for old, new in zip(before.way, after.way, strict=True):
        words = vips.Words(old.address.word)
        if old.slot_number and words in missing:
            _fill(new, words, missing.pop(words))
        else:
            free.append(new)
    if len(missing) > len(free):
        raise MachineError(
            f"the filter cannot hold more than {len(after.way)} virtual addresses that fall into one of its sets; "
            f"choose another address than {', '.join(str(words) for words in missing)}"
        )
    for way, (words, owner) in zip(free, missing.items(), strict=False):
        _fill(way, words, owner)
    return after


def _fill(way: Any, words: vips.Words, slot: int) -> None:
    way.address.word[:] = words
    way.slot_number = slot + 1
