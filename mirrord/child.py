"""The daemon's side of the volume: the child process that does everything with file data.

Who ends what, when a part fails:

- The volume dies: its mounts answer errors by themselves. It is started anew; the core has the application killed and
  decides who serves.
- The volume hangs: the core, which misses its signs of life, has it killed. Until it has opened, this file does.
- The volume floods us: its lines are taken one by one, and between two of them the loop attends to all else.
- This process dies: the volume reads the end of its line, fences itself, withdraws its mounts and ends; the attendant
  kills the application. What a volume or attendant leaves that hangs or was killed, too, the next mirrord kills before
  it does anything else (`volume_lock`, `Application.clear`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable

from farmd.errors import MachineError
from farmd.kit.lock import Lock, run_folder
from farmd.supervision.child import Child
from mirrord import orders
from mirrord.orders import Done, Open, Opened, Order, Refused, Report

log = logging.getLogger(__name__)

OPEN_WITHIN_S = 60.0
"""For the program to load, and to read a journal from a slow disk."""

REFUSED_PAUSE_S = 10.0
"""Before directories that cannot be mirrored are looked at again."""

END_WITHIN_S = 10.0
"""For a volume to withdraw its mounts and end, before it is killed."""

RESTART_PAUSE_S = 1.0
"""The least time between two starts."""

FENCE_WITHIN_S = 2.0
"""For a volume without a daemon to withdraw its mounts."""

BURY_WITHIN_S = 10.0
"""For the kernel to end a process that was killed; one that waits for a broken disk takes as long as that."""

_LOOK_AGAIN_S = 0.02


class Volume:
    """Keeps a volume running until closed. Orders are answered in their order; without a volume they are lost."""

    def __init__(
        self,
        opening: Open,
        on_report: Callable[[Report], None],
        on_lost: Callable[[str], None],
        lock: Lock,
        module: str = "mirrord.volume",
    ) -> None:
        """on_report: all reports, but Done of what it is told. on_lost: the process has ended, and why.

        lock: the volume holds it to its end; see `volume_lock`. module: the program.
        """
        self._module = module
        self._opening = opening
        self._on_report = on_report
        self._on_lost = on_lost
        self._lock = lock
        self._writer: asyncio.StreamWriter | None = None
        self._child: Child | None = None
        self._open = False
        """The volume that runs has opened the directories."""
        self._closing = False
        self._why = ""
        """Why it was killed by us."""
        self._number = 0
        self._silent: set[int] = set()
        """The numbers of orders whose Done nobody waits for."""
        self._keeper: asyncio.Task[None] | None = None
        self.pid = 0
        """The process number of the volume that was started last."""

    async def start(self) -> None:
        """Starts the process and has it open the directories; Opened or Refused is its first report."""
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Has it withdraw everything and end; kills it if that takes too long."""
        self._closing = True
        self.tell(orders.Quit())
        if self._keeper is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._keeper, END_WITHIN_S if self._open else 0)
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    def order(self, order: Order) -> None:
        """Its Done is reported."""
        self._number += 1
        if self._writer is not None:
            self._writer.write(orders.encode(order, self._number))

    def tell(self, order: Order) -> None:
        """An order whose Done is not reported."""
        self.order(order)
        self._silent.add(self._number)

    def replace(self, why: str) -> None:
        """Kill it; a new one is started."""
        self._why = why
        if self._child is not None:
            self._child.kill()

    async def _keep(self) -> None:
        while True:
            began_s = time.monotonic()
            self._why = ""
            try:
                ended = await self._attend()
            except Exception:  # a fault of ours must not leave the node without a volume
                log.exception("the volume was not understood")
                ended = "it was not understood"
            if self._closing:
                return
            why = self._why or ended
            log.warning("the volume is started anew: %s", why)
            self._on_lost(why)
            await asyncio.sleep(began_s + RESTART_PAUSE_S - time.monotonic())

    async def _attend(self) -> str:
        """From the start of a volume to its end; says how it ended."""
        try:
            child = self._child = Child(self._module, keeps=[self._lock.fileno()])
        except OSError as error:
            return f"it could not be started: {error.strerror}"
        self.pid = child.pid
        self._lock.sign(child.pid)
        self._silent.clear()
        self._open = False
        reader, writer = await asyncio.open_connection(sock=child.socket, limit=orders.LINE_BYTES_MAX)
        self._writer = writer
        try:
            self.tell(self._opening)
            return await self._listen(reader)
        finally:
            self._writer = self._child = None
            writer.transport.abort()
            child.kill()  # it has ended, or what it does is not what it should
            await child.end(BURY_WITHIN_S)

    async def _listen(self, reader: asyncio.StreamReader) -> str:
        patience_s: float | None = OPEN_WITHIN_S
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    line = await reader.readline()
            except TimeoutError:
                return f"it did not open the directories within {OPEN_WITHIN_S:g} s"
            except ConnectionError:
                return "its process has ended"
            if not line.endswith(b"\n"):
                return "its process has ended"
            report = self._take(line)
            if isinstance(report, Refused):
                await asyncio.sleep(REFUSED_PAUSE_S)
            elif isinstance(report, Opened):
                self._open, patience_s = True, None  # from here on the core knows when it must be heard
            await asyncio.sleep(0)

    def _take(self, line: bytes) -> Report:
        report, number = orders.decode(line)
        assert isinstance(report, Report), f"{report} is no report"
        if isinstance(report, Done) and number in self._silent:
            self._silent.discard(number)
        else:
            self._on_report(report)
        return report


def volume_lock(mirror: str) -> Lock:
    """The sign that a volume of this mirror lives, held by the daemon and by the volume. That of an earlier run, which
    is fencing itself or hangs, gets some time to end and is killed then. MachineError if it cannot be.
    """
    lock = Lock(run_folder() / f"{mirror}.volume")
    deadline_s = time.monotonic() + FENCE_WITHIN_S + BURY_WITHIN_S
    while not lock.take(wait=False):
        pid = lock.holder()
        if time.monotonic() > deadline_s:
            raise MachineError(f"the volume of an earlier mirrord cannot be ended (pid {pid or 'unknown'})")
        if pid > 0 and time.monotonic() > deadline_s - BURY_WITHIN_S:
            _kill(lock, pid)
        time.sleep(_LOOK_AGAIN_S)
    return lock


def _kill(lock: Lock, pid: int) -> None:
    """Kill the process that holds the lock."""
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            if lock.holder() == pid:  # looked up again, now that the number cannot become another process's
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
