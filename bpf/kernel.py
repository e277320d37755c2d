"""The kernel's BPF objects as user space needs them: programs and maps, as file descriptors.

Thin: one function a call, bytes in and out, OSError with the errno when the kernel says no. See bpf(2) and <bpf/bpf.h>.
What puts a program on an interface is in `hooks`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpf.libbpf import Function, Opts

LIVE_FRAMES = 1 << 1  # BPF_F_TEST_XDP_LIVE_FRAMES
INSTRUCTION = struct.Struct("=BBhi")  # struct bpf_insn: opcode, registers, offset, immediate
OUTPUT_MAX = 4096  # bytes of a frame that a test run returns
LOG_MAX = 16 * 2**20  # bytes of what the verifier says


class _TestRun(Opts):
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


class _MapCreate(Opts):
    _fields_ = (
        ("sz", c_size_t),
        ("btf_fd", c_uint32),
        ("btf_key_type_id", c_uint32),
        ("btf_value_type_id", c_uint32),
        ("btf_vmlinux_value_type_id", c_uint32),
        ("inner_map_fd", c_uint32),
        ("map_flags", c_uint32),
        ("map_extra", c_uint64),
        ("numa_node", c_uint32),
        ("map_ifindex", c_uint32),
    )


class _ProgramLoad(Opts):
    _fields_ = (
        ("sz", c_size_t),
        ("attempts", c_int),
        ("expected_attach_type", c_uint32),
        ("prog_btf_fd", c_uint32),
        ("prog_flags", c_uint32),
        ("prog_ifindex", c_uint32),
        ("kern_version", c_uint32),
        ("attach_btf_id", c_uint32),
        ("attach_prog_fd", c_uint32),
        ("attach_btf_obj_fd", c_uint32),
        ("fd_array", c_void_p),
        ("func_info", c_void_p),
        ("func_info_cnt", c_uint32),
        ("func_info_rec_size", c_uint32),
        ("line_info", c_void_p),
        ("line_info_cnt", c_uint32),
        ("line_info_rec_size", c_uint32),
        ("log_level", c_uint32),
        ("log_size", c_uint32),
        ("log_buf", c_void_p),
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


_map_create = Function("bpf_map_create", c_uint32, c_char_p, c_uint32, c_uint32, c_uint32, POINTER(_MapCreate))
_prog_load = Function("bpf_prog_load", c_uint32, c_char_p, c_char_p, c_char_p, c_size_t, POINTER(_ProgramLoad))
_obj_pin = Function("bpf_obj_pin", c_int, c_char_p)
_obj_get = Function("bpf_obj_get", c_char_p)
_obj_get_info_by_fd = Function("bpf_obj_get_info_by_fd", c_int, c_void_p, POINTER(c_uint32))
_prog_get_fd_by_id = Function("bpf_prog_get_fd_by_id", c_uint32)
_map_lookup_elem = Function("bpf_map_lookup_elem", c_int, c_char_p, c_void_p)
_map_update_elem = Function("bpf_map_update_elem", c_int, c_char_p, c_char_p, c_uint64)
_map_delete_elem = Function("bpf_map_delete_elem", c_int, c_char_p)
_map_get_next_key = Function("bpf_map_get_next_key", c_int, c_char_p, c_void_p)
_num_possible_cpus = Function("libbpf_num_possible_cpus")
_prog_test_run_opts = Function("bpf_prog_test_run_opts", c_int, POINTER(_TestRun))


# --- objects


class VerifierError(Exception):
    """The kernel does not take a program: why, and with `log` what its verifier says."""

    def __init__(self, reason: str, log: str) -> None:
        super().__init__(reason)
        self.log = log


def map_create(kind: int, name: str, shape: MapShape, flags: int) -> int:
    """A file descriptor of a new map, of an `enum bpf_map_type`."""
    options = _MapCreate(map_flags=flags)
    sizes = shape.key_size, shape.value_size, shape.max_entries
    return _map_create(kind, name.encode(), *sizes, byref(options))


def program_load(kind: int, name: str, code: bytes) -> int:
    """A file descriptor of a new program, of an `enum bpf_prog_type`; VerifierError if the kernel refuses it."""
    given = kind, name.encode(), b"GPL", code, len(code) // INSTRUCTION.size
    try:
        return _prog_load(*given, None)
    except OSError as error:
        raise VerifierError(os.strerror(error.errno or 0), _verifier_log(*given)) from error


def _verifier_log(*given: Any) -> str:
    """What the verifier says when it is asked the same once more. It is not asked to say it at once: its buffer is
    larger than all the rest of a daemon."""
    log = ctypes.create_string_buffer(LOG_MAX)
    options = _ProgramLoad(log_level=1, log_size=LOG_MAX, log_buf=ctypes.addressof(log))
    with contextlib.suppress(OSError):
        os.close(_prog_load(*given, byref(options)))
    return log.value.decode(errors="replace")


def object_pin(fd: int, path: Path) -> None:
    """Give a map or program a name in a bpf file system, with which it outlives its descriptors."""
    _obj_pin(fd, os.fsencode(path))


def object_open(path: Path) -> int:
    """A file descriptor of the pinned map or program."""
    return _obj_get(os.fsencode(path))


def program_open(program_id: int) -> int:
    """A file descriptor of a loaded program, whoever loaded it."""
    return _prog_get_fd_by_id(program_id)


@dataclass(frozen=True, slots=True)
class Program:
    """What identifies a loaded program."""

    id: int
    name: str


def program(fd: int) -> Program:
    """Which program the descriptor is."""
    found = _ProgramInfo()
    _obj_get_info_by_fd(fd, byref(found), byref(c_uint32(ctypes.sizeof(found))))
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
    _obj_get_info_by_fd(fd, byref(found), byref(c_uint32(ctypes.sizeof(found))))
    return MapShape(found.key_size, found.value_size, found.max_entries)


def possible_cpus() -> int:
    """How many values an entry of a per-processor map has."""
    return _num_possible_cpus()


# --- maps


def map_lookup(fd: int, key: bytes, size: int) -> bytes:
    """The value, `size` bytes; of a per-processor map, the values one after the other, each rounded up to 8 bytes."""
    value = ctypes.create_string_buffer(size)
    _map_lookup_elem(fd, key, value)
    return value.raw


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Write the value, whether or not the key is there."""
    _map_update_elem(fd, key, value, 0)


def map_delete(fd: int, key: bytes) -> None:
    """Remove the key; OSError ENOENT if it is not there."""
    _map_delete_elem(fd, key)


def map_keys(fd: int, size: int) -> Iterator[bytes]:
    """The keys of a hash map. To delete while iterating, make a list first."""
    key: bytes | None = None
    following = ctypes.create_string_buffer(size)
    while True:
        try:
            _map_get_next_key(fd, key, following)
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
    _prog_test_run_opts(fd, byref(run))
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
    _prog_test_run_opts(fd, byref(run))
