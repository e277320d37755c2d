"""A child process that talks to its parent over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence

from farmd.supervision.deaths import exited

_NOT_FOR_CHILDREN = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "FARMD_HANDOVER")
"""What systemd (sd_notify(3), sd_listen_fds(3)) and an earlier farmd say to this process only."""


class Child:
    """A Python module that runs as a program, in a session of its own; `--fd N` names its end of the socket.

    A process with real-time priority may start one: it is not held up. vfork(2), which subprocess uses, would hold it
    until the kernel finds the time to run the child, which has an ordinary priority; fork(2) does not.
    """

    def __init__(self, module: str, *, keeps: Sequence[int] = ()) -> None:
        """Starts it. OSError if there is no room for another process.

        keeps: descriptors that it inherits, such as a lock that it shall hold to its end.
        """
        self.socket, theirs = socket.socketpair()
        with theirs:
            arguments = [sys.executable, "-P", "-m", module, "--fd", str(theirs.fileno())]
            environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN}
            self.pid = os.fork()
            if self.pid == 0:
                _become((theirs.fileno(), *keeps), arguments, environment)
        self._pidfd = os.pidfd_open(self.pid)

    async def end(self, within_s: float) -> None:
        """Closes the socket, which asks it to end; kills it if it does not. Its exit code is fetched in any case."""
        self.socket.close()
        try:
            async with asyncio.timeout(within_s):
                await exited(self._pidfd)
        except TimeoutError:
            self.kill()
            await exited(self._pidfd)
        finally:
            os.close(self._pidfd)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)

    def kill(self) -> None:
        """SIGKILL; also ends a process that is stopped."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


def _become(keeps: Sequence[int], arguments: list[str], environment: dict[str, str]) -> None:
    try:
        os.setsid()
        for descriptor in keeps:
            os.set_inheritable(descriptor, True)
        os.execve(arguments[0], arguments, environment)
    finally:
        os._exit(127)
