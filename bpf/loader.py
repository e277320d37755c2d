"""Compile the filter, load it, pin it, print how its maps are laid out, and end.

    /usr/bin/python3 -I loader.py PIN_FOLDER LOG_FILE

A child of its own because bcc lives in the distribution's Python only and brings a compiler of a hundred megabytes.
So it imports bcc and the standard library, nothing else. One line of JSON on the standard output says how it went:
{"maps": {name: {"key": ..., "value": ...}}}, or {"error": sentence, "log": path} with exit status 1 and nothing pinned.

The compiler and the kernel's verifier speak to the standard error, which goes to LOG_FILE and is kept on failure.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

# Linux 5.11 has bpf_ktime_get_coarse_ns(); all else that the filter calls is older.
KERNEL_MIN = (5, 11)
PROGRAMS = {"farm_xdp": "XDP", "farm_tc": "SCHED_CLS"}  # name in farm.c -> program type, an attribute of bcc.BPF
LOG_LINES = 8  # of the log, in the message

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
    """The filter cannot be loaded here: one sentence why."""


def check_kernel(release: str) -> None:
    """The release as uname(2) tells it; raises RefusedError if the kernel lacks something that the filter calls."""
    version = re.match(r"(\d+)\.(\d+)", release)
    if version and (int(version[1]), int(version[2])) < KERNEL_MIN:
        needed = ".".join(map(str, KERNEL_MIN))
        raise RefusedError(f"the filter needs Linux {needed} or newer, and {release} is running")


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


def load(bcc: Any) -> tuple[Any, dict[str, int]]:
    """Compile and load: bcc's module, which must be kept, and program name -> file descriptor."""
    sources = Path(__file__).resolve().parent
    flags = include_flags(sources)
    with tempfile.TemporaryDirectory(prefix="farmd-shim-") as shim:
        write_shim(Path(shim))
        os.environ["BCC_KERNEL_SOURCE"] = shim
        try:
            module = bcc.BPF(src_file=str(sources / "farm.c").encode(), cflags=flags)
        except Exception as error:
            raise RefusedError(f"the filter does not compile: {error}") from error
    programs = {}
    for name, kind in PROGRAMS.items():
        try:
            programs[name] = module.load_func(name.encode(), getattr(bcc.BPF, kind)).fd
        except Exception as error:
            raise RefusedError(f"the kernel refuses the program {name}: {error}") from error
    return module, programs


def describe(bcc: Any, module: Any) -> tuple[dict[str, int], dict[str, dict[str, Any]]]:
    """The maps: name -> file descriptor, and name -> types of key and value as the compiler laid them out."""
    lib = bcc.lib
    for function in (lib.bpf_table_name, lib.bpf_table_key_desc, lib.bpf_table_leaf_desc):
        function.restype = ctypes.c_char_p
    descriptors, types = {}, {}
    for index in range(lib.bpf_num_tables(module.module)):
        name = lib.bpf_table_name(module.module, index)
        descriptors[name.decode()] = lib.bpf_table_fd(module.module, name)
        types[name.decode()] = {
            "key": json.loads(lib.bpf_table_key_desc(module.module, name)),
            "value": json.loads(lib.bpf_table_leaf_desc(module.module, name)),
        }
    return descriptors, types


def pin(bcc: Any, folder: Path, descriptors: dict[str, int]) -> None:
    """Pin programs and maps under the folder, which is made; raises RefusedError, and then leaves nothing."""
    folder.mkdir()
    for name, fd in descriptors.items():
        if bcc.lib.bpf_obj_pin(fd, str(folder / name).encode()) != 0:
            reason = os.strerror(ctypes.get_errno())
            shutil.rmtree(folder)
            raise RefusedError(f"{folder / name} cannot be pinned: {reason}")


def last_lines(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(lines[-LOG_LINES:])


def main() -> int:
    """Load and pin as the command line says."""
    folder, log = Path(sys.argv[1]), Path(sys.argv[2])
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 2)
    try:
        check_kernel(os.uname().release)
        bcc = import_bcc()
        module, programs = load(bcc)
        maps, types = describe(bcc, module)
        pin(bcc, folder, {**programs, **maps})
    except RefusedError as refused:
        spoken = last_lines(log)
        print(json.dumps({"error": f"{refused}\n{spoken}".strip(), "log": str(log)}))
        return 1
    log.unlink()
    print(json.dumps({"maps": types}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
