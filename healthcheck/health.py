"""What a status means to those who ask whether to send clients here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Standing(IntEnum):
    """Whether clients may come; of several farms on one node the greatest counts."""

    SERVES = 0
    DRAINS = 1
    """No new clients; those who are here may stay."""
    STOPPED = 2
    """Nobody, because an operator wants it so."""
    FAILS = 3
    """Nobody, because something is broken."""


@dataclass(frozen=True, slots=True)
class Health:
    """Of one farm on this node, or of all of them."""

    standing: Standing
    reason: str = ""
    """Why not, in a sentence."""
    degraded: bool = False
    """It serves, but something is wrong: a check fails everywhere, or a node is missing."""
    share: float = 0.0
    """The part of the farm's clients that come here, 0 to 1."""


def judge(status: Mapping[str, Any]) -> Health:
    """The health that a daemon's status tells; KeyError if it is not a status."""
    own = next(member for member in status["members"] if member["name"] == status["node"])
    standing, reason = _standing(status, own)
    return Health(standing, reason, status["degraded"], own["share"])


def _standing(status: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[Standing, str]:
    broken = not status["ready"] and status["failing"]
    if status["drain_announced"] and not broken:
        return Standing.DRAINS, "it gives its clients away, as it was told"
    if status["stopped"] and not any(service["state"] == "failed" for service in status["services"]):
        return Standing.STOPPED, status["reason"]
    if not status["ready"]:
        return Standing.FAILS, status["reason"]
    if status["lease"] != "held":
        return Standing.FAILS, "its filter is closed, because others may have taken its clients"
    if own["buckets"]:
        return Standing.SERVES, ""
    if own["weight"] == 0:
        return Standing.DRAINS, "its weight is 0"
    return Standing.FAILS, f"it owns no bucket; its status is {status['status']}"


def together(farms: Iterable[Health]) -> Health:
    """Of all farms on a node: the worst of each. A node without a farm serves nobody."""
    found = list(farms)
    if not found:
        return Health(Standing.FAILS, "no farm runs on this node")
    worst = max(found, key=lambda health: health.standing)
    degraded = any(health.degraded for health in found)
    return Health(worst.standing, worst.reason, degraded, min(health.share for health in found))
