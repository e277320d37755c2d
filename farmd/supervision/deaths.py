"""Deaths of processes, noticed at once: pidfd_open(2)."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable


async def exited(pidfd: int) -> None:
    """Returns when the process has ended."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.add_reader(pidfd, lambda: None if ended.done() else ended.set_result(None))
    try:
        await ended
    finally:
        loop.remove_reader(pidfd)


class DeathWatch:
    """Watches one process at a time, and calls `wake` when it dies."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self.pid = 0
        """The process that was watched last."""
        self._pidfd = -1

    def on(self, pid: int) -> bool:
        """Watch this process; False if there is none. A zombie is none."""
        if self.alive and pid == self.pid:
            return True
        self.off()
        try:
            pidfd = os.pidfd_open(pid)
        except (OSError, OverflowError):
            return False
        if _has_exited(pidfd):
            os.close(pidfd)
            return False
        self.pid, self._pidfd = pid, pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._died)
        return True

    @property
    def alive(self) -> bool:
        """Whether the process that is watched lives."""
        return self._pidfd >= 0 and not _has_exited(self._pidfd)

    def off(self) -> None:
        """Watch no process."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
        self._pidfd = -1

    def _died(self) -> None:
        self.off()
        self._wake()


def _has_exited(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
