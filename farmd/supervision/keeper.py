"""One service as it is ordered to start and to stop, within its time limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from farmd.core.supervision_events import Started, Stopped
from farmd.supervision.applications import Application
from farmd.supervision.failure import Failure, described
from farmd.supervision.schema import Service

log = logging.getLogger(__name__)

KILL_TIMEOUT_S = 20.0
"""For killing and making sure: ample, since the kernel kills within milliseconds or not at all."""


class Keeper:
    """Carries out one order at a time. A new one replaces the one under way, which is not answered then."""

    def __init__(self, service: Service, application: Application) -> None:
        self.service = service
        self.application = application
        self._order: asyncio.Task[None] | None = None

    def begin(self, answer: Callable[[Started], None]) -> None:
        """Start it."""
        self._replace(lambda: self._begin(answer))

    def end(self, answer: Callable[[Stopped], None], *, force: bool) -> None:
        """Stop it, and kill it if that does not work out; `force`: kill it at once."""
        self._replace(lambda: self._end(answer, force=force))

    async def leave_nothing(self) -> None:
        """Kill it, whatever is under way."""
        killed = asyncio.get_running_loop().create_future()
        self.end(killed.set_result, force=True)
        stopped = await killed
        if not stopped.ok:
            log.error("service %s could not be killed: %s", stopped.service, stopped.text)

    def _replace(self, order: Callable[[], Awaitable[None]]) -> None:
        self._order = asyncio.create_task(_instead_of(self._order, order))

    async def _begin(self, answer: Callable[[Started], None]) -> None:
        why = await _failing(self.application.start(), "start", self.service.start_timeout_s)
        answer(Started(self.service.name, not why, why))

    async def _end(self, answer: Callable[[Stopped], None], *, force: bool) -> None:
        why = "" if force else await _failing(self.application.stop(), "stop", self.service.stop_timeout_s)
        forced = force or bool(why)
        left = await _failing(self.application.kill(), "die", KILL_TIMEOUT_S) if forced else ""
        if not left:
            self.application.forget()
        answer(Stopped(self.service.name, not left, left or why, forced))


async def _instead_of(before: asyncio.Task[None] | None, order: Callable[[], Awaitable[None]]) -> None:
    if before is not None:
        before.cancel()
        await asyncio.wait([before])
    await order()


async def _failing(action: Awaitable[None], verb: str, timeout_s: float) -> str:
    """Why the action has failed; empty if it has not."""
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            await action
    except Failure as failure:
        return str(failure) or "it failed"
    except OSError as error:
        return f"it did not {verb} within {timeout_s:g} s" if limit.expired() else described(error)
    except Exception:
        log.exception("an action of a service")
        return "the attendant itself failed; the log says why"
    return ""
