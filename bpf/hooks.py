"""Where a program meets an interface: XDP, and TC ingress on a clsact qdisc. See <bpf/libbpf.h>.

Thin like `kernel`: one function a call, OSError with the errno when the kernel says no.
"""

from __future__ import annotations

import errno
from ctypes import POINTER, byref, c_int, c_size_t, c_uint8, c_uint32
from dataclasses import dataclass

from bpf.libbpf import Function, Opts

XDP_ONLY_IF_FREE = 1 << 0  # XDP_FLAGS_UPDATE_IF_NOEXIST
XDP_GENERIC = 1 << 1  # XDP_FLAGS_SKB_MODE
XDP_NATIVE = 1 << 2  # XDP_FLAGS_DRV_MODE
XDP_MODES = {0: "off", 1: "native", 2: "generic", 3: "offload", 4: "several"}  # enum XDP_ATTACHED_*

_INGRESS, _EGRESS = 1 << 0, 1 << 1
_TC_REPLACE = 1 << 0


class _XdpAttach(Opts):
    _fields_ = (("sz", c_size_t), ("old_prog_fd", c_int), ("pad", c_uint32))


class _XdpQuery(Opts):
    _fields_ = (
        ("sz", c_size_t),
        ("prog_id", c_uint32),
        ("drv_prog_id", c_uint32),
        ("hw_prog_id", c_uint32),
        ("skb_prog_id", c_uint32),
        ("attach_mode", c_uint8),
        ("pad", c_uint8 * 7),
    )


class _TcHook(Opts):
    _fields_ = (
        ("sz", c_size_t),
        ("ifindex", c_int),
        ("attach_point", c_uint32),
        ("parent", c_uint32),
        ("pad", c_uint32),
    )


class _TcOpts(Opts):
    _fields_ = (
        ("sz", c_size_t),
        ("prog_fd", c_int),
        ("flags", c_uint32),
        ("prog_id", c_uint32),
        ("handle", c_uint32),
        ("priority", c_uint32),
        ("pad", c_uint32),
    )


_xdp_attach = Function("bpf_xdp_attach", c_int, c_int, c_uint32, POINTER(_XdpAttach))
_xdp_detach = Function("bpf_xdp_detach", c_int, c_uint32, POINTER(_XdpAttach))
_xdp_query = Function("bpf_xdp_query", c_int, c_int, POINTER(_XdpQuery))
_tc_hook_create = Function("bpf_tc_hook_create", POINTER(_TcHook))
_tc_hook_destroy = Function("bpf_tc_hook_destroy", POINTER(_TcHook))
_tc_attach = Function("bpf_tc_attach", POINTER(_TcHook), POINTER(_TcOpts))
_tc_detach = Function("bpf_tc_detach", POINTER(_TcHook), POINTER(_TcOpts))
_tc_query = Function("bpf_tc_query", POINTER(_TcHook), POINTER(_TcOpts))


# --- XDP


@dataclass(frozen=True, slots=True)
class Xdp:
    """The XDP program of an interface; program 0 and mode "off" if there is none."""

    program: int
    mode: str  # one of XDP_MODES


def xdp_query(ifindex: int) -> Xdp:
    """Which XDP program the interface has."""
    query = _XdpQuery()
    _xdp_query(ifindex, 0, byref(query))
    ids = {"native": query.drv_prog_id, "generic": query.skb_prog_id, "offload": query.hw_prog_id}
    mode = XDP_MODES[query.attach_mode]
    return Xdp(query.prog_id or ids.get(mode, 0), mode)


def xdp_attach(ifindex: int, fd: int, mode: int) -> None:
    """Put the program on the interface; mode is XDP_NATIVE or XDP_GENERIC. OSError EBUSY if another one is there."""
    _xdp_attach(ifindex, fd, mode | XDP_ONLY_IF_FREE, None)


def xdp_detach(ifindex: int, fd: int, mode: int) -> None:
    """Take the program off the interface, and no other: OSError EEXIST if it is not the one there."""
    _xdp_detach(ifindex, mode, byref(_XdpAttach(old_prog_fd=fd)))


# --- TC ingress


def clsact_create(ifindex: int) -> None:
    """Give the interface a clsact qdisc; OSError EEXIST if it has one."""
    _tc_hook_create(byref(_TcHook(ifindex=ifindex, attach_point=_INGRESS)))


def clsact_destroy(ifindex: int) -> None:
    """Remove the clsact qdisc with every filter on it."""
    _tc_hook_destroy(byref(_TcHook(ifindex=ifindex, attach_point=_INGRESS | _EGRESS)))


def tc_query(ifindex: int, priority: int, handle: int) -> int:
    """The id of the program at this place of TC ingress; 0 if there is none."""
    hook, place = _TcHook(ifindex=ifindex, attach_point=_INGRESS), _TcOpts(handle=handle, priority=priority)
    try:
        _tc_query(byref(hook), byref(place))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):  # no filter there; no clsact at all
            return 0
        raise
    return int(place.prog_id)


def tc_attach(ifindex: int, fd: int, priority: int, handle: int) -> None:
    """Put the program at this place of TC ingress, whatever is there; the interface must have a clsact qdisc."""
    place = _TcOpts(prog_fd=fd, flags=_TC_REPLACE, handle=handle, priority=priority)
    _tc_attach(byref(_TcHook(ifindex=ifindex, attach_point=_INGRESS)), byref(place))


def tc_detach(ifindex: int, priority: int, handle: int) -> None:
    """Remove what is at this place of TC ingress."""
    place = _TcOpts(handle=handle, priority=priority)
    _tc_detach(byref(_TcHook(ifindex=ifindex, attach_point=_INGRESS)), byref(place))
