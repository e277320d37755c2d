"""HAProxy's agent-check (its manual, 5.2 "agent-check"): a line to whoever connects, and the connection is closed.

    up ready 33%          clients may come; the share is what the server's weight is scaled by
    up drain              no new ones; also of a server that was down until now
    maint                 nobody; an operator stopped the service
    down #reason          nobody; something is broken, or a mirror's other node serves

"ready" takes back an earlier "drain" or "maint", which "up" alone leaves in force.
"""

from __future__ import annotations

import asyncio

from healthcheck.farms import Farms
from healthcheck.health import Health, Standing
from healthcheck.settings import Agent

REASON_CHARACTERS_MAX = 120


def line(health: Health) -> bytes:
    """What HAProxy is told."""
    match health.standing:
        case Standing.SERVES:
            return f"up ready {max(1, round(100 * health.share))}%\n".encode()
        case Standing.DRAINS:
            return b"up drain\n"
        case Standing.STOPPED:
            return b"maint\n"
        case Standing.FAILS | Standing.STANDS_BY:
            reason = " ".join(health.reason.split())[:REASON_CHARACTERS_MAX]
            return f"down #{reason}\n".encode("ascii", "replace")


class Answering(asyncio.Protocol):
    """One connection."""

    def __init__(self, farms: Farms, agent: Agent) -> None:
        self._farms = farms
        self._agent = agent

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        transport.write(line(self._health()))
        transport.close()

    def _health(self) -> Health:
        if not self._agent.farm:
            return self._farms.health()
        watch = self._farms.get(self._agent.farm)
        if watch is None:
            return Health(Standing.FAILS, "there is no such farm or mirror on this node")
        return watch.health()
