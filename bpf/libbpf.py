"""libbpf.so.1 as functions that raise: the one place that knows how the library is called."""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any


class Opts(ctypes.Structure):
    """libbpf's option structs begin with their own size, so that they can grow."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(ctypes.sizeof(self), **fields)


class Function:
    """A function of the library that returns a number, or raises OSError with the errno. Found at its first call, so
    that only who calls needs the library."""

    def __init__(self, name: str, *arguments: Any) -> None:
        """`arguments` are the ctypes of the parameters."""
        self._name = name
        self._arguments = arguments

    def __call__(self, *values: Any) -> int:
        # libbpf 1 returns a negative errno where bpf(2) returns -1.
        result: int = self._function(*values)
        if result < 0:
            raise OSError(-result, f"{self._name}: {os.strerror(-result)}")
        return result

    @functools.cached_property
    def _function(self) -> Any:
        function = getattr(_library(), self._name)
        function.argtypes = self._arguments
        return function


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    library.libbpf_set_print(None)  # what goes wrong is raised, not printed
    return library
