"""Compile the filter, print what the kernel must be given, and end.

    /usr/bin/python3 -I compiler.py LOG_FILE

A child of its own because bcc lives in the distribution's Python only and brings a compiler of a hundred megabytes.
So it imports bcc and the standard library, nothing else. One line of JSON on the standard output says how it went:
what `bpf.loader` loads, or {"error": sentence} with exit status 1.

The compiler speaks to the standard error, which goes to LOG_FILE and is kept on failure.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import struct
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

PROGRAMS = {"farm_xdp": "XDP", "farm_tc": "SCHED_CLS"}  # name in farm.c -> program type, an attribute of bcc.BPF

INSTRUCTION = struct.Struct("=BBhi")  # struct bpf_insn: opcode, source and destination register, offset, immediate
LOAD_IMMEDIATE = 0x18  # BPF_LD | BPF_IMM | BPF_DW, of two instructions
MAP_DESCRIPTOR = 1  # BPF_PSEUDO_MAP_FD, as its source register

# bcc wants the running kernel's headers, for structs that this filter does not touch: it uses the ABI in /usr/include
# only. So it is given the little that its own prelude includes.
SHIM = {
    "include/linux/kconfig.h": """\
#define CONFIG_BPF_SYSCALL 1
#include <linux/types.h>
typedef __u8 u8; typedef __u16 u16; typedef __u32 u32; typedef __u64 u64;
typedef __s8 s8; typedef __s16 s16; typedef __s32 s32; typedef __s64 s64;
typedef unsigned long size_t; typedef unsigned long uintptr_t; typedef _Bool bool;
#define true 1
#define false 0
""",
    "include/linux/log2.h": "",
    "include/linux/if.h": "#define IFNAMSIZ 16\n",  # <linux/icmp.h> wants this one; the real one wants libc's headers
    "include/uapi/linux/bpf.h": "",
    "include/uapi/linux/if_packet.h": "",
    "include/asm/page.h": f"#define PAGE_SIZE {resource.getpagesize()}\n",
}


class RefusedError(Exception):
    """The filter cannot be compiled here: one sentence why."""


def import_bcc() -> Any:
    """The module bcc; raises RefusedError if it is missing."""
    try:
        import bcc
    except ImportError as error:
        raise RefusedError(f"bcc is missing for {sys.executable} ({error}): install python3-bpfcc") from error
    return bcc


def include_flags(folder: Path) -> list[str]:
    """Where the compiler finds our headers and the kernel's ABI; raises RefusedError if the latter are missing."""
    if not Path("/usr/include/linux/bpf.h").exists():
        raise RefusedError("the kernel's ABI headers are missing: install linux-libc-dev")
    multiarch = sysconfig.get_config_var("MULTIARCH")
    return ["-I/usr/include", f"-I/usr/include/{multiarch}", f"-I{folder}"]


def write_shim(folder: Path) -> None:
    """Write the tree that stands for a kernel source tree."""
    for name, text in SHIM.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def compile_filter(bcc: Any) -> Any:
    """bcc's module; raises RefusedError with what the compiler says."""
    sources = Path(__file__).resolve().parent
    flags = include_flags(sources)
    with tempfile.TemporaryDirectory(prefix="farmd-shim-") as shim:
        write_shim(Path(shim))
        os.environ["BCC_KERNEL_SOURCE"] = shim
        try:
            return bcc.BPF(src_file=str(sources / "farm.c").encode(), cflags=flags)
        except Exception as error:
            raise RefusedError(f"the filter does not compile: {error}") from error


def describe_maps(lib: Any, module: Any) -> dict[str, dict[str, Any]]:
    """By name: what the kernel is asked for, and the types of key and value as the compiler laid them out."""
    for function in (lib.bpf_table_name, lib.bpf_table_key_desc, lib.bpf_table_leaf_desc):
        function.restype = ctypes.c_char_p
    lib.bpf_table_max_entries_id.restype = ctypes.c_size_t
    maps = {}
    for index in range(lib.bpf_num_tables(module)):
        name = lib.bpf_table_name(module, index)
        maps[name.decode()] = {
            "type": lib.bpf_table_type_id(module, index),
            "key_size": lib.bpf_table_key_size_id(module, index),
            "value_size": lib.bpf_table_leaf_size_id(module, index),
            "max_entries": lib.bpf_table_max_entries_id(module, index),
            "flags": lib.bpf_table_flags_id(module, index),
            "key": json.loads(lib.bpf_table_key_desc(module, name)),
            "value": json.loads(lib.bpf_table_leaf_desc(module, name)),
        }
    return maps


def describe_program(kind: int, code: bytes, maps: dict[int, str]) -> dict[str, Any]:
    """Its type and instructions, and which of them want a map's descriptor: index of the instruction -> name of the
    map. `maps` are the descriptors that the compiler has put there, which are this process's and are taken out.
    """
    wanted, without = {}, bytearray(code)
    for index, (opcode, registers, offset, immediate) in enumerate(INSTRUCTION.iter_unpack(code)):
        if opcode == LOAD_IMMEDIATE and registers >> 4 == MAP_DESCRIPTOR:
            wanted[index] = maps[immediate]
            INSTRUCTION.pack_into(without, index * INSTRUCTION.size, opcode, registers, offset, 0)
    return {"type": kind, "code": base64.b64encode(without).decode(), "maps": wanted}


def describe(bcc: Any, bpf: Any) -> dict[str, Any]:
    """What `bpf.loader` loads."""
    maps = describe_maps(bcc.lib, bpf.module)
    descriptors = {bcc.lib.bpf_table_fd(bpf.module, name.encode()): name for name in maps}
    programs = {
        name: describe_program(getattr(bcc.BPF, kind), bpf.dump_func(name.encode()), descriptors)
        for name, kind in PROGRAMS.items()
    }
    return {"programs": programs, "maps": maps}


def main() -> int:
    """Compile as the command line says."""
    log = Path(sys.argv[1])
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 2)
    try:
        bcc = import_bcc()
        compiled = describe(bcc, compile_filter(bcc))
    except RefusedError as refused:
        print(json.dumps({"error": str(refused)}))
        return 1
    log.unlink()
    print(json.dumps(compiled))
    return 0


if __name__ == "__main__":
    sys.exit(main())
