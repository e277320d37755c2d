"""Coming to an interface's filter and leaving it: the first farm loads and attaches it, the last one takes it away.

Everything here happens under the interface's lock. A farm that died without leaving keeps its slot, and with it its
packets are dropped (its lease has ended), until it comes back or somebody else comes or leaves and frees the slot.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from bpf import layout
from farmd.attachment import Mode, attach, current_mode, detach
from farmd.errors import MachineError
from farmd.pins import Pins
from farmd.slots import Slots


@dataclass(frozen=True, slots=True)
class Joined:
    """A farm's part of the interface's filter."""

    slots: Slots
    index: int
    mode: Mode


def join(interface: str, farm: str, mode: str) -> Joined:
    """Take a slot, having loaded and attached the filter if nobody did; raises MachineError, and then what only
    this farm would have needed is not there.
    """
    ifindex = _ifindex(interface)
    pins = Pins(interface)
    with pins.lock:
        if pins.exist():
            _make_way(interface, ifindex, pins, farm)
        if not pins.exist():
            pins.load()
        slots = Slots(pins)
        try:
            _free_dead(slots, keep=farm)
            achieved = _attach(interface, ifindex, pins, mode, [other for other in slots.farms() if other != farm])
            return Joined(slots, slots.take(farm), achieved)
        except BaseException:
            _free(slots, farm)
            _end(ifindex, pins, slots)
            raise


def leave(interface: str, slots: Slots, index: int) -> None:
    """Give the slot back; the last farm takes the filter off the interface and leaves no pin. `slots` is closed."""
    pins = Pins(interface)
    with pins.lock:
        slots.free(index)
        _free_dead(slots, keep=None)
        try:
            ifindex = socket.if_nametoindex(interface)
        except OSError:
            ifindex = 0  # the interface is gone, and what was attached to it too
        _end(ifindex, pins, slots)


def _make_way(interface: str, ifindex: int, pins: Pins, farm: str) -> None:
    """Take away a filter that was compiled from other sources, an upgrade's predecessor."""
    if pins.read().source == layout.source_digest():
        return
    slots = Slots(pins)
    others = [other for other in slots.farms() if other != farm and slots.in_use(other)]
    slots.close()
    if others:
        raise MachineError(
            f"the filter on {interface} is of another version of farmd, and farm {others[0]} uses it: "
            f"upgrade and restart that one first, or both together"
        )
    detach(ifindex, pins)
    pins.remove()


def _attach(interface: str, ifindex: int, pins: Pins, mode: str, others: list[str]) -> Mode:
    """The first farm chooses the mode; who comes later takes the interface as it is."""
    if not others:
        return attach(ifindex, pins, mode)
    there = current_mode(ifindex, pins)
    attach(ifindex, pins, there)
    if mode not in ("auto", there):
        raise MachineError(f"xdp = {mode} is not possible: farm {others[0]} runs {interface} with xdp = {there}")
    return Mode(there, f"as farm {others[0]}, which was here first, has it")


def _free_dead(slots: Slots, keep: str | None) -> None:
    for farm, index in slots.farms().items():
        if farm != keep and not slots.in_use(farm):
            slots.free(index)


def _free(slots: Slots, farm: str) -> None:
    index = slots.farms().get(farm)
    if index is not None:
        slots.free(index)


def _end(ifindex: int, pins: Pins, slots: Slots) -> None:
    """Close, and with no farm left take everything away: from the interface first, so that what is attached is
    always pinned too.
    """
    empty = not slots.farms()
    slots.close()
    if empty:
        if ifindex:
            detach(ifindex, pins)
        pins.remove()


def _ifindex(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        raise MachineError(f"there is no interface {interface}") from error
