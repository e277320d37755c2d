"""The kernel's BPF calls that user space needs, through libbpf.so.1 and ctypes.

Thin: one function a call, bytes in and out, OSError with the errno when the kernel says no. Maps and programs are
file descriptors. See bpf(2), <bpf/bpf.h> and <bpf/libbpf.h>.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

XDP_ONLY_IF_FREE = 1 << 0  # XDP_FLAGS_UPDATE_IF_NOEXIST
XDP_GENERIC = 1 << 1  # XDP_FLAGS_SKB_MODE
XDP_NATIVE = 1 << 2  # XDP_FLAGS_DRV_MODE
XDP_MODES = {0: "off", 1: "native", 2: "generic", 3: "offload", 4: "several"}  # enum XDP_ATTACHED_*

LIVE_FRAMES = 1 << 1  # BPF_F_TEST_XDP_LIVE_FRAMES
OUTPUT_MAX = 4096  # bytes of a frame that a test run returns

_INGRESS, _EGRESS = 1 << 0, 1 << 1
_TC_REPLACE = 1 << 0


class _Opts(ctypes.Structure):
    """libbpf's option structs begin with their own size, so that they can grow."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(ctypes.sizeof(self), **fields)


class _XdpAttach(_Opts):
    _fields_ = (("sz", c_size_t), ("old_prog_fd", c_int), ("pad", c_uint32))


class _XdpQuery(_Opts):
    _fields_ = (
        ("sz", c_size_t),
        ("prog_id", c_uint32),
        ("drv_prog_id", c_uint32),
        ("hw_prog_id", c_uint32),
        ("skb_prog_id", c_uint32),
        ("attach_mode", c_uint8),
        ("pad", c_uint8 * 7),
    )


class _TcHook(_Opts):
    _fields_ = (
        ("sz", c_size_t),
        ("ifindex", c_int),
        ("attach_point", c_uint32),
        ("parent", c_uint32),
        ("pad", c_uint32),
    )


class _TcOpts(_Opts):
    _fields_ = (
        ("sz", c_size_t),
        ("prog_fd", c_int),
        ("flags", c_uint32),
        ("prog_id", c_uint32),
        ("handle", c_uint32),
        ("priority", c_uint32),
        ("pad", c_uint32),
    )


class _TestRun(_Opts):
    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_char_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_char_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


class _ProgramInfo(ctypes.Structure):
    """The beginning of struct bpf_prog_info."""

    _fields_ = (
        ("type", c_uint32),
        ("id", c_uint32),
        ("tag", c_uint8 * 8),
        ("jited_prog_len", c_uint32),
        ("xlated_prog_len", c_uint32),
        ("jited_prog_insns", c_uint64),
        ("xlated_prog_insns", c_uint64),
        ("load_time", c_uint64),
        ("created_by_uid", c_uint32),
        ("nr_map_ids", c_uint32),
        ("map_ids", c_uint64),
        ("name", ctypes.c_char * 16),
    )


class _MapInfo(ctypes.Structure):
    """The beginning of struct bpf_map_info."""

    _fields_ = (
        ("type", c_uint32),
        ("id", c_uint32),
        ("key_size", c_uint32),
        ("value_size", c_uint32),
        ("max_entries", c_uint32),
    )


_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "bpf_obj_get": (c_char_p,),
    "bpf_obj_get_info_by_fd": (c_int, c_void_p, POINTER(c_uint32)),
    "bpf_prog_get_fd_by_id": (c_uint32,),
    "bpf_map_lookup_elem": (c_int, c_char_p, c_void_p),
    "bpf_map_update_elem": (c_int, c_char_p, c_char_p, c_uint64),
    "bpf_map_delete_elem": (c_int, c_char_p),
    "bpf_map_get_next_key": (c_int, c_char_p, c_void_p),
    "libbpf_num_possible_cpus": (),
    "bpf_prog_test_run_opts": (c_int, POINTER(_TestRun)),
    "bpf_xdp_attach": (c_int, c_int, c_uint32, POINTER(_XdpAttach)),
    "bpf_xdp_detach": (c_int, c_uint32, POINTER(_XdpAttach)),
    "bpf_xdp_query": (c_int, c_int, POINTER(_XdpQuery)),
    "bpf_tc_hook_create": (POINTER(_TcHook),),
    "bpf_tc_hook_destroy": (POINTER(_TcHook),),
    "bpf_tc_attach": (POINTER(_TcHook), POINTER(_TcOpts)),
    "bpf_tc_detach": (POINTER(_TcHook), POINTER(_TcOpts)),
    "bpf_tc_query": (POINTER(_TcHook), POINTER(_TcOpts)),
}


@functools.cache
def _libbpf() -> ctypes.CDLL:
    library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    for name, arguments in _PROTOTYPES.items():
        getattr(library, name).argtypes = arguments
    library.libbpf_set_print(None)  # what goes wrong is raised, not printed
    return library


def _call(name: str, *arguments: Any) -> int:
    """libbpf 1 returns a negative errno where bpf(2) returns -1."""
    result: int = getattr(_libbpf(), name)(*arguments)
    if result < 0:
        raise OSError(-result, f"{name}: {os.strerror(-result)}")
    return result


# --- objects


def object_open(path: Path) -> int:
    """A file descriptor of the pinned map or program."""
    return _call("bpf_obj_get", os.fsencode(path))


def program_open(program_id: int) -> int:
    """A file descriptor of a loaded program, whoever loaded it."""
    return _call("bpf_prog_get_fd_by_id", program_id)


@dataclass(frozen=True, slots=True)
class Program:
    """What identifies a loaded program."""

    id: int
    name: str


def program(fd: int) -> Program:
    """Which program the descriptor is."""
    found = _ProgramInfo()
    _call("bpf_obj_get_info_by_fd", fd, byref(found), byref(c_uint32(ctypes.sizeof(found))))
    return Program(found.id, found.name.decode())


@dataclass(frozen=True, slots=True)
class MapShape:
    """Sizes in bytes; of a per-processor map, value_size is for one processor."""

    key_size: int
    value_size: int
    max_entries: int


def map_shape(fd: int) -> MapShape:
    """How large the map and its entries are."""
    found = _MapInfo()
    _call("bpf_obj_get_info_by_fd", fd, byref(found), byref(c_uint32(ctypes.sizeof(found))))
    return MapShape(found.key_size, found.value_size, found.max_entries)


def possible_cpus() -> int:
    """How many values an entry of a per-processor map has."""
    return _call("libbpf_num_possible_cpus")


# --- maps


def map_lookup(fd: int, key: bytes, size: int) -> bytes:
    """The value, `size` bytes; of a per-processor map, the values one after the other, each rounded up to 8 bytes."""
    value = ctypes.create_string_buffer(size)
    _call("bpf_map_lookup_elem", fd, key, value)
    return value.raw


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Write the value, whether or not the key is there."""
    _call("bpf_map_update_elem", fd, key, value, 0)


def map_delete(fd: int, key: bytes) -> None:
    """Remove the key; OSError ENOENT if it is not there."""
    _call("bpf_map_delete_elem", fd, key)


def map_keys(fd: int, size: int) -> Iterator[bytes]:
    """The keys of a hash map. To delete while iterating, make a list first."""
    key: bytes | None = None
    following = ctypes.create_string_buffer(size)
    while True:
        try:
            _call("bpf_map_get_next_key", fd, key, following)
        except FileNotFoundError:
            return
        key = following.raw
        yield key


# --- running a program on a frame


@dataclass(frozen=True, slots=True)
class Run:
    """What BPF_PROG_TEST_RUN tells."""

    verdict: int  # XDP_* or TC_ACT_*
    frame: bytes  # as the program left it


def run_once(fd: int, frame: bytes, context: bytes | None = None) -> Run:
    """Run the program on the frame, on the loopback device of the caller's network namespace unless `context`
    (struct __sk_buff or xdp_md) names another.
    """
    frame_after = ctypes.create_string_buffer(OUTPUT_MAX)
    run = _TestRun(
        data_in=frame,
        data_size_in=len(frame),
        data_out=ctypes.addressof(frame_after),
        data_size_out=OUTPUT_MAX,
        ctx_in=context,
        ctx_size_in=len(context or b""),
    )
    _call("bpf_prog_test_run_opts", fd, byref(run))
    return Run(run.retval, frame_after.raw[: run.data_size_out])


def run_live(fd: int, frame: bytes, ifindex: int, repeat: int) -> None:
    """Send the frame through the XDP program and on to what its verdict says, the real stack included, as if it had
    come in by the interface.
    """
    context = struct.pack("=6I", 0, len(frame), 0, ifindex, 0, 0)  # struct xdp_md: the frame from 0 to its length
    run = _TestRun(
        data_in=frame,
        data_size_in=len(frame),
        ctx_in=context,
        ctx_size_in=len(context),
        repeat=repeat,
        flags=LIVE_FRAMES,
        batch_size=64,  # what a driver's poll handles at once
    )
    _call("bpf_prog_test_run_opts", fd, byref(run))


# --- XDP


@dataclass(frozen=True, slots=True)
class Xdp:
    """The XDP program of an interface; program 0 and mode "off" if there is none."""

    program: int
    mode: str  # one of XDP_MODES


def xdp_query(ifindex: int) -> Xdp:
    """Which XDP program the interface has."""
    query = _XdpQuery()
    _call("bpf_xdp_query", ifindex, 0, byref(query))
    ids = {"native": query.drv_prog_id, "generic": query.skb_prog_id, "offload": query.hw_prog_id}
    mode = XDP_MODES[query.attach_mode]
    return Xdp(query.prog_id or ids.get(mode, 0), mode)


def xdp_attach(ifindex: int, fd: int, mode: int) -> None:
    """Put the program on the interface; mode is XDP_NATIVE or XDP_GENERIC. OSError EBUSY if another one is there."""
    _call("bpf_xdp_attach", ifindex, fd, mode | XDP_ONLY_IF_FREE, None)


def xdp_detach(ifindex: int, fd: int, mode: int) -> None:
    """Take the program off the interface, and no other: OSError EEXIST if it is not the one there."""
    _call("bpf_xdp_detach", ifindex, mode, byref(_XdpAttach(old_prog_fd=fd)))


# --- TC ingress


def clsact_create(ifindex: int) -> None:
    """Give the interface a clsact qdisc; OSError EEXIST if it has one."""
    _call("bpf_tc_hook_create", byref(_TcHook(ifindex=ifindex, attach_point=_INGRESS)))


def clsact_destroy(ifindex: int) -> None:
    """Remove the clsact qdisc with every filter on it."""
    _call("bpf_tc_hook_destroy", byref(_TcHook(ifindex=ifindex, attach_point=_INGRESS | _EGRESS)))


def tc_query(ifindex: int, priority: int, handle: int) -> int:
    """The id of the program at this place of TC ingress; 0 if there is none."""
    hook, place = _TcHook(ifindex=ifindex, attach_point=_INGRESS), _TcOpts(handle=handle, priority=priority)
    try:
        _call("bpf_tc_query", byref(hook), byref(place))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINVAL):  # no filter there; no clsact at all
            return 0
        raise
    return int(place.prog_id)


def tc_attach(ifindex: int, fd: int, priority: int, handle: int) -> None:
    """Put the program at this place of TC ingress, whatever is there; the interface must have a clsact qdisc."""
    place = _TcOpts(prog_fd=fd, flags=_TC_REPLACE, handle=handle, priority=priority)
    _call("bpf_tc_attach", byref(_TcHook(ifindex=ifindex, attach_point=_INGRESS)), byref(place))


def tc_detach(ifindex: int, priority: int, handle: int) -> None:
    """Remove what is at this place of TC ingress."""
    place = _TcOpts(handle=handle, priority=priority)
    _call("bpf_tc_detach", byref(_TcHook(ifindex=ifindex, attach_point=_INGRESS)), byref(place))
