"""The attendant: the process that tries checks and starts and stops services, on behalf of a farmd.

It has an ordinary priority and does what a real-time process must not: it waits, forks, resolves names. It ends when
its parent does, and its probes with it; services live on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from farmd.core.supervision_events import Started, Stopped
from farmd.kit import log as logs
from farmd.supervision import messages
from farmd.supervision.applications import application
from farmd.supervision.containment import Containment
from farmd.supervision.keeper import Keeper
from farmd.supervision.messages import Alive, Assignment, Begin, End, Message, ProbeNow
from farmd.supervision.prober import Look, Prober
from farmd.supervision.probes import probe

log = logging.getLogger(__name__)

ALIVE_INTERVAL_S = 1.0

UNSENT_BYTES_MAX = 1 << 18
"""A parent that does not read misses results; newer ones will follow."""


class Program:
    """One attendant, from the assignment to the end of its parent."""

    def __init__(self, assignment: Assignment, containment: Containment, writer: asyncio.StreamWriter) -> None:
        self._assignment = assignment
        self._writer = writer
        self._may_run = {service.name for service in assignment.services if service.managed}
        self._probers: dict[str, Prober] = {}
        self._keepers: dict[str, Keeper] = {}
        self._looks: dict[str, Look] = {}
        names = messages.names(assignment.services, assignment.checks)
        phases = {name: (index + 1) / len(names) for index, name in enumerate(names)}
        for service in assignment.services:
            prober = Prober(
                service.name, service.interval_s, service.status_timeout_s, phases[service.name], self._report
            )
            what = application(service, containment, prober.wake, outlives=assignment.outlive)
            self._keepers[service.name] = Keeper(service, what)
            self._probers[service.name], self._looks[service.name] = prober, what
        for check in assignment.checks:
            prober = Prober(check.name, check.interval_s, check.timeout_s, phases[check.name], self._report)
            self._probers[check.name], self._looks[check.name] = prober, probe(check, prober.wake)

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Tries, and takes orders, until the parent closes the socket."""
        tasks = [asyncio.create_task(prober.run(self._looks[name])) for name, prober in self._probers.items()]
        tasks.append(asyncio.create_task(self._give_signs_of_life()))
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self._obey(*messages.decode(line))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not self._assignment.outlive:
            await asyncio.gather(*(self._keepers[name].leave_nothing() for name in self._may_run))

    def _obey(self, message: Message, order: int) -> None:
        match message:
            case Begin(service):
                self._may_run.add(service)
                self._keepers[service].begin(lambda started: self._answer(started, order))
            case End(service, force):
                self._keepers[service].end(lambda stopped: self._answer(stopped, order), force=force)
            case ProbeNow(names):
                for name in names:
                    self._probers[name].wake()
            case _:
                raise AssertionError(f"{message} is no order")

    def _answer(self, answer: Started | Stopped, order: int) -> None:
        if isinstance(answer, Stopped) and answer.ok:
            self._may_run.discard(answer.service)
        self._writer.write(messages.encode(answer, order))
        self._probers[answer.service].wake()  # from that look on its death is noticed

    def _report(self, message: Message) -> None:
        if self._writer.transport.get_write_buffer_size() < UNSENT_BYTES_MAX:
            self._writer.write(messages.encode(message))

    async def _give_signs_of_life(self) -> None:
        while True:
            self._report(Alive())
            await asyncio.sleep(ALIVE_INTERVAL_S)


async def _attend(parent: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=parent, limit=messages.LINE_BYTES_MAX)
    line = await reader.readline()
    if not line.endswith(b"\n"):
        return
    assignment = messages.decode_assignment(line)
    containment = Containment(assignment.scope)
    containment.enter()
    await Program(assignment, containment, writer).serve(reader)
    containment.leave()
    # An order under way is not cancelled: a command that starts or stops a service goes on, as the service does.
    logging.shutdown()
    os._exit(0)


def _be_ordinary() -> None:
    """Nothing of what makes farmd special may be inherited by services."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # They are farmd's to answer, also where all of a unit's processes get them. A handler, since a signal that is
        # ignored stays so in what is started from here (execve(2)).
        signal.signal(number, lambda *_: None)
    adjustment = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError):
        if int(adjustment.read_text()) < 0:
            adjustment.write_text("0")


def main() -> None:
    """The program, which only farmd starts."""
    descriptor = int(sys.argv[-1])  # after --fd
    os.set_inheritable(descriptor, False)
    _be_ordinary()
    logs.start("info")
    asyncio.run(_attend(socket.socket(fileno=descriptor)))


if __name__ == "__main__":
    main()
