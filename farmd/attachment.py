"""Putting the two programs on an interface and taking them off again.

What belongs to others stays: an XDP program that is not ours is never removed, and our TC filter has a place of its
own on ingress, so that others live beside it: priority 10, handle 0x5407. Lower priorities run first; what they decide
we do not see, and what we do not decide (everything not for a VIP) goes on to the higher ones.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass

from bpf import clsact, hooks, kernel
from farmd.errors import MachineError
from farmd.pins import Pins

TC_PRIORITY = 10
TC_HANDLE = 0x5407

_XDP_FLAGS = {"native": hooks.XDP_NATIVE, "generic": hooks.XDP_GENERIC}


@dataclass(frozen=True, slots=True)
class Mode:
    """How the filter decides on an interface."""

    name: str
    """native: XDP in the driver; generic: XDP after the driver; off: in TC."""
    reason: str
    """Why, in a sentence for people."""


def attach(ifindex: int, pins: Pins, wanted: str) -> Mode:
    """Put both programs on the interface, or leave them there. `wanted` is auto, native, generic or off; raises
    MachineError if what was asked for by name cannot be had.
    """
    _attach_tc(ifindex, pins)
    return _attach_xdp(ifindex, pins, wanted)


def detach(ifindex: int, pins: Pins) -> None:
    """Take off what is ours, the clsact qdisc too if it is ours and nobody else uses it."""
    _detach_xdp(ifindex, pins, hooks.xdp_query(ifindex))
    if _our_tc(ifindex, pins):
        hooks.tc_detach(ifindex, TC_PRIORITY, TC_HANDLE)
    if pins.read().clsact_is_ours and clsact.has_clsact(ifindex) and clsact.is_empty(ifindex):
        hooks.clsact_destroy(ifindex)


def current_mode(ifindex: int, pins: Pins) -> str:
    """Where our XDP program runs: native or generic, or off."""
    there = hooks.xdp_query(ifindex)
    return there.mode if _is_ours(pins, there.program, "farm_xdp") else "off"


def _attach_xdp(ifindex: int, pins: Pins, wanted: str) -> Mode:
    """auto never takes generic: that runs where TC does, behind the driver and after the kernel has made an skb, and
    has to copy it besides when its headroom is small. Deciding in TC gives the same at a lower price.
    """
    there = hooks.xdp_query(ifindex)
    if there.program and not _is_ours(pins, there.program, "farm_xdp"):
        reason = f"another XDP program (id {there.program}) is on the interface"
        if wanted in _XDP_FLAGS:
            raise MachineError(f"xdp = {wanted} is not possible: {reason}")
        return Mode("off", reason if wanted == "auto" else "as configured")
    target = "native" if wanted == "auto" else wanted
    pinned = 0 if target == "off" else kernel.object_open(pins.folder / "farm_xdp")
    try:
        if there.mode == target and there.program == (kernel.program(pinned).id if pinned else 0):
            return Mode(target, _reason(wanted))
        _detach_xdp(ifindex, pins, there)
        if target == "off":
            return Mode("off", "as configured")
        hooks.xdp_attach(ifindex, pinned, _XDP_FLAGS[target])
    except OSError as error:
        reason = f"the driver takes no {target} XDP program ({os.strerror(error.errno or errno.EIO)})"
        if wanted != "auto":
            raise MachineError(f"xdp = {wanted} is not possible: {reason}") from error
        return Mode("off", reason)
    finally:
        if pinned:
            os.close(pinned)
    return Mode(target, _reason(wanted))


def _reason(wanted: str) -> str:
    return "the best that the interface can do" if wanted == "auto" else "as configured"


def _detach_xdp(ifindex: int, pins: Pins, there: hooks.Xdp) -> None:
    fd = _open_ours(pins, there.program, "farm_xdp")
    if fd is None:
        return
    try:
        hooks.xdp_detach(ifindex, fd, _XDP_FLAGS[there.mode])
    finally:
        os.close(fd)


def _attach_tc(ifindex: int, pins: Pins) -> None:
    if not clsact.has_clsact(ifindex):
        pins.note_clsact()
        hooks.clsact_create(ifindex)
    there = hooks.tc_query(ifindex, TC_PRIORITY, TC_HANDLE)
    if there and not _our_tc(ifindex, pins):
        raise MachineError(
            f"another program (id {there}) has our place on TC ingress (priority {TC_PRIORITY}, handle {TC_HANDLE:#x})"
        )
    fd = kernel.object_open(pins.folder / "farm_tc")
    try:
        if there != kernel.program(fd).id:
            hooks.tc_attach(ifindex, fd, TC_PRIORITY, TC_HANDLE)
    finally:
        os.close(fd)


def _our_tc(ifindex: int, pins: Pins) -> bool:
    return _is_ours(pins, hooks.tc_query(ifindex, TC_PRIORITY, TC_HANDLE), "farm_tc")


def _is_ours(pins: Pins, program: int, name: str) -> bool:
    fd = _open_ours(pins, program, name)
    if fd is None:
        return False
    os.close(fd)
    return True


def _open_ours(pins: Pins, program: int, name: str) -> int | None:
    """A descriptor of the program that an interface has, if it is ours: pinned by us, or else of our name.

    Pins that were lost, with their mount namespace perhaps, leave a program that nobody can renew a lease for and that
    must give way to a new one. Only that takes CAP_SYS_ADMIN; without it, such a program is another's.
    """
    if not program:
        return None
    with contextlib.suppress(FileNotFoundError):
        fd = kernel.object_open(pins.folder / name)
        if kernel.program(fd).id == program:
            return fd
        os.close(fd)
    try:
        fd = kernel.program_open(program)
    except PermissionError:
        return None
    if kernel.program(fd).name == name:
        return fd
    os.close(fd)
    return None
