"""The pinned maps of one interface's filter, open: C structs in and out, by the layouts that the compiler found."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Any

from bpf import kernel, layout
from farmd.pins import Pins

_MAPPED = ("slots", "bucket_tables")


class Maps:
    """The maps by the names they have in farm.c."""

    def __init__(self, pins: Pins) -> None:
        self.layouts = layout.layouts(pins.read().maps)
        self._fds = {name: kernel.object_open(pins.folder / name) for name in self.layouts}
        self._shapes = {name: kernel.map_shape(fd) for name, fd in self._fds.items()}
        for name, of in self.layouts.items():
            assert ctypes.sizeof(of.value) == self._shapes[name].value_size, f"the layout of {name} is another"
        self._memory = {name: self._map_memory(name) for name in _MAPPED}

    def close(self) -> None:
        """Let go of the maps; what is in them stays. Memory is unmapped with the last struct from `elements()`."""
        self._memory.clear()
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def elements(self, name: str) -> list[Any]:
        """The elements of a mapped array, in the filter's own memory: to write to one is to change it at once."""
        value = self.layouts[name].value
        return [
            value.from_buffer(self._memory[name], index * _stride(value))
            for index in range(self._shapes[name].max_entries)
        ]

    def indices(self, name: str) -> range:
        """The keys of an array."""
        return range(self._shapes[name].max_entries)

    def read(self, name: str, index: int) -> Any:
        """A copy of an array's element."""
        value = self.layouts[name].value
        return value.from_buffer_copy(kernel.map_lookup(self._fds[name], _key(index), ctypes.sizeof(value)))

    def write(self, name: str, index: int, value: ctypes.Structure) -> None:
        """Replace an array's element."""
        kernel.map_update(self._fds[name], _key(index), bytes(value))

    def keys(self, name: str) -> list[Any]:
        """The keys of a hash map, as structs."""
        key = self.layouts[name].key
        return [key.from_buffer_copy(raw) for raw in kernel.map_keys(self._fds[name], ctypes.sizeof(key))]

    def put(self, name: str, key: ctypes.Structure, value: ctypes.Structure) -> None:
        """Write an entry of a hash map."""
        kernel.map_update(self._fds[name], bytes(key), bytes(value))

    def drop(self, name: str, key: ctypes.Structure) -> None:
        """Remove an entry of a hash map."""
        kernel.map_delete(self._fds[name], bytes(key))

    def read_each(self, name: str, index: int) -> list[Any]:
        """Copies of a per-processor array's element, one for each processor."""
        value = self.layouts[name].value
        raw = kernel.map_lookup(self._fds[name], _key(index), _stride(value) * kernel.possible_cpus())
        return [value.from_buffer_copy(raw, at) for at in range(0, len(raw), _stride(value))]

    def clear_each(self, name: str, index: int) -> None:
        """Zero a per-processor array's element for every processor."""
        size = _stride(self.layouts[name].value) * kernel.possible_cpus()
        kernel.map_update(self._fds[name], _key(index), bytes(size))

    def _map_memory(self, name: str) -> mmap.mmap:
        return mmap.mmap(self._fds[name], self._shapes[name].max_entries * _stride(self.layouts[name].value))


def _stride(value: type[Any]) -> int:
    """The kernel keeps the elements of arrays, and the values of processors, at multiples of 8 bytes."""
    return (ctypes.sizeof(value) + 7) & ~7


def _key(index: int) -> bytes:
    return bytes(ctypes.c_uint32(index))
