"""One check, tried again and again: at once, then at even intervals, and when something is known to have happened."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from farmd.core.supervision_events import Probed
from farmd.supervision.failure import Failure, described

log = logging.getLogger(__name__)

PAUSE_S = 0.01
"""Between two tries, however often it is woken."""


class Look(Protocol):
    """What is tried."""

    @property
    def late(self) -> str:
        """What is to be said when the time is over."""

    async def look(self) -> str:
        """What was seen, if it is as wanted; else Failure or OSError."""


class Prober:
    """Tries one check, one try at a time."""

    def __init__(
        self, name: str, interval_s: float, timeout_s: float, phase: float, report: Callable[[Probed], None]
    ) -> None:
        """phase: 0 to 1, which part of the interval passes between the first try and the second. Probers that start
        together with different phases do not go on trying at the same moments."""
        self.name = name
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._phase_s = phase * interval_s
        self._report = report
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Try at once, without waiting for the interval."""
        self._woken.set()

    async def run(self, probe: Look) -> None:
        """Tries until cancelled."""
        loop = asyncio.get_running_loop()
        origin_s = loop.time() + self._phase_s - self._interval_s
        while True:
            self._woken.clear()
            self._report(await self._try(probe))
            await asyncio.sleep(PAUSE_S)
            done = (loop.time() - origin_s) // self._interval_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(origin_s + (done + 1) * self._interval_s):
                    await self._woken.wait()

    async def _try(self, probe: Look) -> Probed:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        passed, text = await self._answer(probe)
        return Probed(self.name, passed, text, round((loop.time() - began_s) * 1000, 3))

    async def _answer(self, probe: Look) -> tuple[bool, str]:
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                return True, await probe.look()
        except Failure as failure:
            return False, str(failure)
        except OSError as error:  # TimeoutError is one, the kernel's and our own
            return False, f"{probe.late} within {self._timeout_s:g} s" if limit.expired() else described(error)
        except Exception:
            log.exception("check %s", self.name)
            return False, "the attendant itself failed; the log says why"
