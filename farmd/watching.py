"""The daemon's end of the verb `watch`: its status, pushed to whoever watches it, as soon as it changes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from farmd import status
from farmd.kit.control_server import Lines

if TYPE_CHECKING:
    from farmd.daemon import Daemon

STATUS_INTERVAL_S = 1.0
"""A status is told at least so often, for its counters and rates."""
PAUSE_S = 0.01
"""Between two: a view change is a handful of steps within a millisecond or two, and one status shows most of them."""


class Watching:
    """Those who watch one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._bells: set[asyncio.Event] = set()
        self._seen: object = None

    def notice(self) -> None:
        """Due after every step of membership or supervision: wakes those who watch if what they see has changed."""
        if self._bells and (seen := _seen(self._daemon)) != self._seen:
            self._seen = seen
            for bell in self._bells:
                bell.set()

    async def lines(self, *, buckets: bool) -> Lines:
        """The status at once and after each change, with `buckets` if wanted; between them signs of life, so often that
        there is never silence for lease_s / 2. `said_ns` is CLOCK_MONOTONIC: how old a line is does not depend on when
        it is read.
        """
        bell = asyncio.Event()
        self._bells.add(bell)
        self._seen = None
        try:
            while True:
                bell.clear()
                yield _said(self._status(buckets=buckets))
                due_s = time.monotonic() + STATUS_INTERVAL_S
                await asyncio.sleep(PAUSE_S)
                while time.monotonic() < due_s and not await _rung(bell, self._daemon.config.timing.lease_s / 3):
                    yield _said({"alive": True})
        finally:
            self._bells.remove(bell)

    def _status(self, *, buckets: bool) -> dict[str, Any]:
        found = status.snapshot(self._daemon)
        return found | {"buckets": status.buckets(self._daemon)} if buckets else found


def _said(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "said_ns": time.monotonic_ns()}


async def _rung(bell: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            return await bell.wait()
    except TimeoutError:
        return False


def _seen(daemon: Daemon) -> object:
    """Everything of a status but counters, rates and times; cheap, since it is compared after every step."""
    now_ns = time.monotonic_ns()
    core, supervisor = daemon.core, daemon.supervising.core
    suspect_ns = core.settings.suspect_ns
    states = [peer.state for peer in core.evidence.peers.values() if peer.live(now_ns, suspect_ns)]
    return (
        core.status,
        core.lease_until_ns > now_ns,
        core.follower.installed,
        core.follower.promise is None,
        core.follower.table,
        core.standing.ready,
        core.standing.drain_announced,
        [state and (state.status, state.installed, state.ready, state.failing) for state in states],
        supervisor.reason,
        supervisor.failing,
        [(life.state, life.wanted) for life in supervisor.lives],
        [check.state for check in supervisor.checks.values()],
    )
