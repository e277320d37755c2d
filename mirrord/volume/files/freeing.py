"""Giving back what a removed file occupied. It takes the longer the more of it is in memory or on its way to the disk,
some seconds for a few GiB, so a thread lets go of what is large and the loop goes on.

Who finds the disk full meanwhile waits for it: `finish`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

LARGE_BYTES = 64 << 20
"""What is smaller is given back at once: some 20 ms at most."""

PATIENCE_S = 2.0

_BLOCK_BYTES = 512
"""Of st_blocks (stat(2))."""

T = TypeVar("T")


def occupied_bytes(status: os.stat_result) -> int:
    """What a file takes on the disk, holes left out."""
    return status.st_blocks * _BLOCK_BYTES


class Freeing:
    """One tree's."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "freeing")
        self._last: Future[None] | None = None

    def shut_down(self) -> None:
        """Nothing more is given to it; what it has, it goes on with."""
        self._thread.shutdown(wait=False)

    def close(self, descriptor: int) -> None:
        """Close a descriptor. If the file has no name any more, it may go with it."""
        status = os.fstat(descriptor)
        if status.st_nlink == 0 and occupied_bytes(status) > LARGE_BYTES:
            self._last = self._thread.submit(os.close, descriptor)
        else:
            os.close(descriptor)

    @contextmanager
    def holding(self, folder: int, name: bytes) -> Iterator[None]:
        """Inside, this name may be removed or replaced, and does not take long."""
        held = _open_large(folder, name)
        try:
            yield
        finally:
            if held is not None:
                self.close(held)

    def finish(self) -> bool:
        """Wait until all is given back, but not for ever; whether anything was not."""
        if self._last is None or self._last.done():
            return False
        wait([self._last], PATIENCE_S)
        return True

    def with_room(self, change: Callable[[], T]) -> T:
        """What this does; tried once more, if there was no room because of what is being given back."""
        try:
            return change()
        except OSError as error:
            if error.errno != errno.ENOSPC or not self.finish():
                raise
            return change()


def _open_large(folder: int, name: bytes) -> int | None:
    """A reference to a file that is going to be freed with this name, if that may take long."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and occupied_bytes(status) > LARGE_BYTES:
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    return None
