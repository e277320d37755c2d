"""What the C side defines, read from the C side: structs from the compiler, numbers and enums from farm.h.

compiler.py prints how each map's key and value are laid out. Here those descriptions become ctypes classes with the
fields' own names, so no struct, limit or state is ever written down a second time in Python.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
SOURCES = ("farm.h", "hash.h", "parse.h", "farm.c")

_SCALARS: Mapping[str, type[Any]] = {
    "char": ctypes.c_char,
    "unsigned char": ctypes.c_uint8,
    "unsigned short": ctypes.c_uint16,
    "unsigned int": ctypes.c_uint32,
    "unsigned long long": ctypes.c_uint64,
}


@dataclass(frozen=True, slots=True)
class MapLayout:
    """The ctypes classes of one map's key and value."""

    key: type[Any]
    value: type[Any]


def layouts(described: Mapping[str, Mapping[str, Any]]) -> dict[str, MapLayout]:
    """From what the compiler printed, map name -> {"key": ..., "value": ...}, to ctypes classes."""
    return {name: MapLayout(_class(of["key"]), _class(of["value"])) for name, of in described.items()}


def _class(description: Any) -> type[Any]:
    """One type as bcc describes it: "unsigned int", or [name, [[field, type, [count]?], ...], "struct_packed"].

    bcc spells padding out as fields, which is why its structs are all packed.
    """
    if isinstance(description, str):
        return _SCALARS[description]
    name, fields, kind = description
    assert kind == "struct_packed", f"{name}: a {kind} in a map is not foreseen"
    members = [(field, _array(_class(of), *count)) for field, of, *count in fields]
    return type(name, (ctypes.Structure,), {"_pack_": 1, "_fields_": members})


def _array(of: type[Any], count: Sequence[int] = ()) -> type[Any]:
    for length in count:
        of = of * length
    return of


@functools.cache
def _farm_h() -> str:
    return re.sub(r"/\*.*?\*/", "", (FOLDER / "farm.h").read_text(), flags=re.DOTALL)


@functools.cache
def number(name: str) -> int:
    """A limit or constant of farm.h: `number("BUCKETS")`."""
    found = re.search(rf"^#define {name} (\d+)u?\s*$", _farm_h(), flags=re.MULTILINE)
    if not found:
        raise KeyError(name)
    return int(found[1])


@functools.cache
def enum(name: str) -> Mapping[str, int]:
    """An enum of farm.h: `enum("bucket_state")["OWNED"]`. Its members count from zero, in the order written."""
    found = re.search(rf"^enum {name} {{(.*?)}};", _farm_h(), flags=re.MULTILINE | re.DOTALL)
    if not found:
        raise KeyError(name)
    return {member: value for value, member in enumerate(re.findall(r"(\w+),", found[1]))}


@functools.cache
def source_digest() -> str:
    """What identifies this version of the filter: a hash of its C sources."""
    digest = hashlib.blake2b(digest_size=16)
    for name in SOURCES:
        digest.update((FOLDER / name).read_bytes())
    return digest.hexdigest()
