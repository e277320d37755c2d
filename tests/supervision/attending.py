"""An attendant under test: the real child process, the reports that it sends, and the wish to see one of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from farmd.core.supervision_events import Probed, Report, Started, Stopped
from farmd.supervision import cgroup
from farmd.supervision.attendant import Attendant
from farmd.supervision.schema import Check, Service

T = TypeVar("T")
WAIT_S = 15.0
_numbers = itertools.count()


class Attended:
    """The attendant and what it has reported so far."""

    def __init__(self, services: Sequence[Service], checks: Sequence[Check], scope: str) -> None:
        self.scope = scope
        self.reports: list[Report] = []
        self._seen = 0
        """How many of them the test has seen."""
        self._came = asyncio.Event()
        self.attendant = Attendant(services, checks, scope, self._take)

    def _take(self, report: Report) -> None:
        self.reports.append(report)
        self._came.set()

    async def next(self, wanted: Callable[[Report], bool], what: str) -> Report:
        """The first report as wanted among those that the test has not seen; what came before it counts as seen."""
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    while self._seen < len(self.reports):
                        self._seen += 1
                        if wanted(self.reports[self._seen - 1]):
                            return self.reports[self._seen - 1]
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise AssertionError(f"waited {WAIT_S:g} s in vain for {what}; there were {self.reports}") from None

    async def probed(self, name: str, passed: bool | None = None) -> Probed:
        """The next result of a check."""
        report = await self.next(
            lambda report: isinstance(report, Probed) and report.name == name and passed in (None, report.passed),
            f"{name} to be tried" if passed is None else f"{name} to {'pass' if passed else 'fail'}",
        )
        assert isinstance(report, Probed)
        return report

    async def begun(self, service: str) -> Started:
        """Starts a service."""
        self.attendant.begin(service)
        report = await self.next(lambda report: isinstance(report, Started), f"{service} to be started")
        assert isinstance(report, Started)
        assert report.service == service
        return report

    async def ended(self, service: str, *, force: bool = False) -> Stopped:
        """Stops a service."""
        self.attendant.end(service, force=force)
        report = await self.next(lambda report: isinstance(report, Stopped), f"{service} to be stopped")
        assert isinstance(report, Stopped)
        assert report.service == service
        return report

    @property
    def base(self) -> cgroup.Cgroup:
        """The control group of the scope."""
        own = cgroup.own()
        assert own is not None
        return cgroup.Cgroup(own.path / f"farmd.{self.scope}")

    def group(self, name: str) -> cgroup.Cgroup:
        """The control group of a service, or the attendant's own."""
        return cgroup.Cgroup(self.base.path / name)

    def processes(self, service: str) -> list[int]:
        """A service's processes."""
        return self.group(f"service.{service}").processes()


def scope() -> str:
    """A scope that nothing else on this machine has."""
    return f"test{os.getpid()}x{next(_numbers)}"


@contextlib.asynccontextmanager
async def attended(
    services: Sequence[Service] = (), checks: Sequence[Check] = (), name: str | None = None
) -> AsyncIterator[Attended]:
    """Starts the attendant, and ends it and its services afterwards."""
    under_test = Attended(services, checks, name or scope())
    await under_test.attendant.start()
    try:
        yield under_test
    finally:
        await under_test.attendant.close()
        for service in services:
            group = under_test.group(f"service.{service.name}")
            group.kill()
            await until(lambda group=group: not group.populated, "the services of the test to end")  # type: ignore[misc]
            group.remove()
        base = under_test.base.path
        if base.exists():  # it is, where services went on
            base.rmdir()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Returns as soon as the condition holds."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"waited {WAIT_S:g} s in vain for {what}") from None


def within(coroutine: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a test's coroutine; a test that hangs fails."""

    async def limited() -> T:
        async with asyncio.timeout(60):
            return await coroutine()

    return asyncio.run(limited())


def status(pid: int, field: str) -> str:
    """A line of /proc/PID/status, without its name; empty when there is no such process."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return line.partition(":")[2].strip()
    return ""


def lives(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    return status(pid, "State")[:1] not in ("", "Z")


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signals a process of the test."""
    assert pid > 1
    os.kill(pid, number)
