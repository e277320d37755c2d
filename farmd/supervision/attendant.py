"""farmd's side of the attendant: the child process that runs probes and services' commands.

Whatever hangs, floods or fails there, the daemon's loop only ever reads lines and writes lines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from farmd.core.supervision_events import Probed, Report, Started, Stopped
from farmd.supervision import messages
from farmd.supervision.child import Child
from farmd.supervision.messages import Assignment, Begin, End, ProbeNow
from farmd.supervision.schema import Check, Service

log = logging.getLogger(__name__)

SILENCE_S = 5.0
"""The attendant gives a sign of life each second; one that gives none for so long is replaced."""

START_WITHIN_S = 30.0
"""Its first sign of life may take so long: a slow machine loads the program for some seconds."""

RESTART_PAUSE_S = 1.0
"""The least time between two starts of the attendant."""

END_WITHIN_S = 2.0
"""For an attendant to end by itself, before it is killed."""

Order = Begin | End


class Attendant:
    """Looks after services and checks, in a process of its own that is started anew when it dies or falls silent.

    The services live on without it. What was under way when it died is reported as failed.
    """

    def __init__(
        self,
        services: Sequence[Service],
        checks: Sequence[Check],
        scope: str,
        on_report: Callable[[Report], None],
        *,
        outlive: bool = True,
    ) -> None:
        """scope: the farm's name, which tells its services from those of another farm on the same machine.

        outlive: services live on when this process ends; else the attendant then kills those that it manages.
        """
        self._assignment = messages.encode_assignment(Assignment(scope, tuple(services), tuple(checks), outlive))
        self._wanted = asyncio.Event()
        self._on_report = on_report
        self._writer: asyncio.StreamWriter | None = None
        self._unsent: list[bytes] = []
        """What was ordered while there was no attendant."""
        self._under_way: dict[str, tuple[int, Order]] = {}
        """The newest order for each service that is not answered yet, and its number."""
        self._last_order = 0
        self._keeper: asyncio.Task[None] | None = None
        self.pid = 0
        """The process number of the attendant that was started last."""

    def prepare(self) -> None:
        """Starts the child process, and gives it nothing to do yet; so `start` need not wait until it has loaded."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())

    async def start(self) -> None:
        """Starts to look: every check is tried at once."""
        self._wanted.set()
        self.prepare()

    async def close(self) -> None:
        """Ends the child process. Services go on; what was under way is not reported any more."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    def begin(self, service: str) -> None:
        """Start a service; Started is the answer."""
        self._order(service, Begin(service))

    def end(self, service: str, *, force: bool) -> None:
        """Stop a service, and kill what is left of it after its stop_timeout_s; `force`: at once. Stopped is the
        answer. It replaces an order that is under way, which is then not answered."""
        self._order(service, End(service, force))

    def probe_now(self, *names: str) -> None:
        """Try these checks at once, without waiting for the interval."""
        self._send(messages.encode(ProbeNow(list(names))))

    def _order(self, service: str, order: Order) -> None:
        self._last_order += 1
        self._under_way[service] = self._last_order, order
        self._send(messages.encode(order, self._last_order))

    def _send(self, line: bytes) -> None:
        if self._writer is None:
            self._unsent.append(line)
        else:
            self._writer.write(line)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                why = await self._attend()
            except Exception:  # a fault of ours must not leave the node without supervision
                log.exception("the attendant of services and checks was not understood")
                why = "was not understood"
            log.warning("the attendant of services and checks %s and is started anew", why)
            self._fail_what_was_under_way(f"the attendant {why}")
            await asyncio.sleep(began_s + RESTART_PAUSE_S - loop.time())

    async def _attend(self) -> str:
        """From the start of an attendant to its end; says how it ended."""
        try:
            child = Child("farmd.supervision.program")
        except OSError as error:
            return f"could not be started ({error.strerror})"
        self.pid = child.pid
        reader, writer = await asyncio.open_connection(sock=child.socket, limit=messages.LINE_BYTES_MAX)
        try:
            await self._wanted.wait()
            writer.writelines([self._assignment, *self._unsent])
            self._writer = writer
            self._unsent.clear()
            why = await self._listen(reader)
            child.kill()
            return why
        finally:
            self._writer = None
            writer.transport.abort()  # close() would wait for a child that does not read
            await child.end(END_WITHIN_S)

    async def _listen(self, reader: asyncio.StreamReader) -> str:
        patience_s = START_WITHIN_S
        while True:
            try:
                line = await _line(reader, patience_s)
            except TimeoutError:
                return f"was silent for {patience_s:g} s"
            except ConnectionError:
                return "has ended"
            if not line.endswith(b"\n"):
                return "has ended"
            patience_s = SILENCE_S
            self._take(line)

    def _take(self, line: bytes) -> None:
        message, order = messages.decode(line)
        match message:
            case Probed():
                self._on_report(message)
            case Started(service) | Stopped(service):
                if self._under_way.get(service, (0, None))[0] == order:
                    del self._under_way[service]
                    self._on_report(message)

    def _fail_what_was_under_way(self, why: str) -> None:
        orders = [order for _, order in self._under_way.values()]
        self._under_way.clear()
        self._unsent.clear()
        for order in orders:
            match order:
                case Begin(service):
                    self._on_report(Started(service, ok=False, text=why))
                case End(service):
                    self._on_report(Stopped(service, ok=False, text=why, forced=False))


async def _line(reader: asyncio.StreamReader, patience_s: float) -> bytes:
    """The next line; TimeoutError after a silence. A loop that was late itself finds its time-out over before it has
    read what is there; so it looks twice.
    """
    try:
        async with asyncio.timeout(patience_s / 2):
            return await reader.readline()
    except TimeoutError:
        async with asyncio.timeout(patience_s / 2):
            return await reader.readline()
