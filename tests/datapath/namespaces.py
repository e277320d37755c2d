"""Network and mount namespaces of this process, entered and left, that vanish with their last descriptor."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator

_NEW_MOUNTS, _NEW_NETWORK = 0x00020000, 0x40000000  # CLONE_NEWNS, CLONE_NEWNET
_PRIVATE = 0x00040000 | 0x00004000  # MS_PRIVATE | MS_REC

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network without interfaces but `lo`, and mounts that nobody else sees. One thread only may be inside."""

    def __init__(self) -> None:
        with _come_back():
            _check(_libc.unshare(_NEW_MOUNTS | _NEW_NETWORK))
            _check(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE), None))
            self._fds = _open_own()
            run("ip link set lo up")

    def close(self) -> None:
        """With this, interfaces, mounts and pins inside are gone."""
        for fd in self._fds:
            os.close(fd)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is inside."""
        with _come_back():
            _enter(self._fds)
            yield


def run(command: str) -> str:
    """Run a command; its output. An exit status other than 0 raises CalledProcessError."""
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def _come_back() -> Iterator[None]:
    before, folder = _open_own(), os.getcwd()
    try:
        yield
    finally:
        _enter(before)
        os.chdir(folder)  # entering a mount namespace leads to its root
        for fd in before:
            os.close(fd)


def _open_own() -> tuple[int, int]:
    network, mounts = (os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "mnt"))
    return network, mounts


def _enter(fds: tuple[int, int]) -> None:
    for fd, kind in zip(fds, (_NEW_NETWORK, _NEW_MOUNTS), strict=True):
        _check(_libc.setns(fd, kind))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
