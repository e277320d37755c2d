"""Where applications' requests come in: /dev/fuse of every mount, read in batches."""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Callable

from mirrord.volume.fuse.abi import REQUEST_BYTES_MAX
from mirrord.volume.fuse.capture import Capture
from mirrord.volume.loop import Loop
from mirrord.volume.replication.replicator import Replicator

BATCH_MAX = 16
"""Requests that are read before the first of them is carried out, each into a buffer of its own. Those of several
threads so travel together: four writers are twice as fast as one."""

BATCH_BYTES = 2 << 20
"""A batch with more content than this is long enough."""

_INTERRUPTED = (errno.ENOENT, errno.EINTR, errno.EAGAIN)  # fuse(4): ENOENT: the request was taken back


class Intake:
    """Reads and has answered the requests of all captures."""

    def __init__(self, loop: Loop, replicator: Replicator, gone: Callable[[Capture], None]) -> None:
        """gone: told when a mount is no more."""
        self._loop = loop
        self._replicator = replicator
        self._gone = gone
        self._captures: dict[int, Capture] = {}
        """By the descriptor that their requests are read from."""
        self._paused = False
        self._last_turn = self._last_count = 0
        replicator.regulate = self._regulate
        # Pages of a mapping are memory only once something was read into them, which most never see.
        self._buffers = [memoryview(mmap.mmap(-1, REQUEST_BYTES_MAX)) for _ in range(BATCH_MAX)]

    def open(self, capture: Capture, fd: int) -> None:
        """Read the requests of this mount from now on. `fd` does not block."""
        self._captures[fd] = capture
        self._loop.watch(fd, lambda: self._take(capture, fd))
        if self._paused:
            self._loop.pause(fd, paused=True)

    def close(self, fd: int) -> None:
        """Before the mount's descriptor is closed."""
        if self._captures.pop(fd, None) is not None:
            self._loop.unwatch(fd)

    def _regulate(self) -> None:
        """Leaves requests in the kernel while there is no room for them, and fetches them again."""
        congested = self._replicator.congested
        if congested != self._paused:
            self._paused = congested
            for fd in self._captures:
                self._loop.pause(fd, paused=congested)

    def _take(self, capture: Capture, fd: int) -> None:
        self._replicator.began_ns = time.monotonic_ns()
        # To find that there is no second request costs as much as a tenth of a write: it is looked for only if there
        # was one lately, or requests came faster than they were taken.
        limit = BATCH_MAX if self._last_count > 1 or self._loop.turn == self._last_turn + 1 else 1
        self._last_turn = self._loop.turn
        bytes_taken = count = 0
        for buffer in self._buffers[:limit]:
            try:
                size = os.readv(fd, (buffer,))
            except OSError as error:
                if error.errno in _INTERRUPTED:
                    break
                self.close(fd)
                self._gone(capture)
                break
            capture.handle(buffer[:size])
            count += 1
            bytes_taken += size
            if bytes_taken > BATCH_BYTES:
                break
        self._last_count = count
        self._replicator.settle()
        if self._replicator.congested:
            self._regulate()
