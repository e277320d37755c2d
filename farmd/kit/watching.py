"""The daemon's end of the verb `watch`: its status, pushed to whoever watches it, as soon as it changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from farmd.kit.control_server import Lines

STATUS_INTERVAL_S = 1.0
"""A status is told at least so often, for its counters and rates."""
PAUSE_S = 0.01
"""Between two: a change is a handful of steps within a millisecond or two, and one status shows most of them."""


class Watching:
    """Those who watch one daemon."""

    def __init__(self, status: Callable[..., dict[str, Any]], seen: Callable[[], object], lease_s: float) -> None:
        """status: makes one, with the options of who watches. seen: everything of it but counters, rates and times;
        cheap, since it is compared after every step. lease_s: a daemon that says nothing for so long is gone."""
        self._status = status
        self._what_is_seen = seen
        self._lease_s = lease_s
        self._bells: set[asyncio.Event] = set()
        self._seen: object = None

    def notice(self) -> None:
        """Due after every step of a core: wakes those who watch if what they see has changed."""
        if self._bells and (seen := self._what_is_seen()) != self._seen:
            self._seen = seen
            for bell in self._bells:
                bell.set()

    async def lines(self, **options: Any) -> Lines:
        """The status at once and after each change; between them signs of life, so often that there is never silence
        for lease_s / 2. `said_ns` is CLOCK_MONOTONIC: how old a line is does not depend on when it is read.
        """
        bell = asyncio.Event()
        self._bells.add(bell)
        self._seen = None
        try:
            while True:
                bell.clear()
                yield _said(self._status(**options))
                due_s = time.monotonic() + STATUS_INTERVAL_S
                await asyncio.sleep(PAUSE_S)
                while time.monotonic() < due_s and not await _rung(bell, self._lease_s / 3):
                    yield _said({"alive": True})
        finally:
            self._bells.remove(bell)


def _said(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "said_ns": time.monotonic_ns()}


async def _rung(bell: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            return await bell.wait()
    except TimeoutError:
        return False
