"""Give the kernel what the compiler has made: the filter's maps, and its programs, which know the maps by name."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from bpf import kernel
from bpf.kernel import INSTRUCTION, MapShape

# Linux 5.11 has bpf_ktime_get_coarse_ns(); all else that the filter calls is older.
KERNEL_MIN = (5, 11)
_IMMEDIATE_AT = 4  # in struct bpf_insn


class RefusedError(Exception):
    """The filter cannot be loaded here: one sentence why, and with `log` what the kernel's verifier says."""

    def __init__(self, sentence: str, log: str = "") -> None:
        super().__init__(sentence)
        self.log = log


def check_kernel(release: str) -> None:
    """The release as uname(2) tells it; raises RefusedError if the kernel lacks something that the filter calls."""
    version = re.match(r"(\d+)\.(\d+)", release)
    if version and (int(version[1]), int(version[2])) < KERNEL_MIN:
        needed = ".".join(map(str, KERNEL_MIN))
        raise RefusedError(f"the filter needs Linux {needed} or newer, and {release} is running")


@contextlib.contextmanager
def loaded(compiled: Mapping[str, Any]) -> Iterator[Mapping[str, int]]:
    """What `compiler.py` has printed, as the kernel's objects: name of a program or map -> its file descriptor, which
    is closed at the end. Raises RefusedError, and then nothing is left.
    """
    objects: dict[str, int] = {}
    try:
        for name, of in compiled["maps"].items():
            objects[name] = _create(name, of)
        for name, of in compiled["programs"].items():
            objects[name] = _load(name, of, objects)
        yield objects
    finally:
        for fd in objects.values():
            os.close(fd)


def _create(name: str, of: Mapping[str, Any]) -> int:
    shape = MapShape(of["key_size"], of["value_size"], of["max_entries"])
    try:
        return kernel.map_create(of["type"], name, shape, of["flags"])
    except OSError as error:
        raise RefusedError(f"the kernel refuses the map {name}: {os.strerror(error.errno or 0)}") from error


def _load(name: str, of: Mapping[str, Any], maps: Mapping[str, int]) -> int:
    code = bytearray(base64.b64decode(of["code"]))
    for index, wanted in of["maps"].items():
        struct.pack_into("=i", code, int(index) * INSTRUCTION.size + _IMMEDIATE_AT, maps[wanted])
    try:
        return kernel.program_load(of["type"], name, bytes(code))
    except kernel.VerifierError as error:
        raise RefusedError(f"the kernel refuses the program {name}: {error}", error.log) from error
