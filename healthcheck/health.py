"""What a status means to those who ask whether to send clients here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

MIRROR = "mirror"
"""The kind of a mirror's status; a farm's says nothing about its kind."""
SERVING = ("PRIM", "ALONE")


class Standing(IntEnum):
    """Whether clients may come; of several farms and mirrors on one node the greatest counts, but for those that stand
    by.
    """

    SERVES = 0
    DRAINS = 1
    """No new clients; those who are here may stay."""
    STOPPED = 2
    """Nobody, because an operator wants it so."""
    FAILS = 3
    """Nobody, because something is broken."""
    STANDS_BY = 4
    """Nobody, because the other node of the mirror serves them."""


@dataclass(frozen=True, slots=True)
class Health:
    """Of one farm or mirror on this node, or of all of them."""

    standing: Standing
    reason: str = ""
    """Why not, in a sentence."""
    degraded: bool = False
    """It serves, but something is wrong: a check fails everywhere, a node is missing, or the data is nowhere else."""
    share: float = 0.0
    """The part of the clients that come here, 0 to 1."""


def judge(status: Mapping[str, Any]) -> Health:
    """The health that a daemon's status tells; KeyError if it is not a status."""
    return judge_mirror(status) if status.get("kind") == MIRROR else _judge_farm(status)


def _judge_farm(status: Mapping[str, Any]) -> Health:
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


def judge_mirror(status: Mapping[str, Any]) -> Health:
    """A mirror is one place for all its clients, so a node has all of them or none."""
    standing, reason = _mirrors_standing(status)
    serves = standing is Standing.SERVES
    return Health(standing, reason, serves and status["role"] == "ALONE", float(serves))


def _mirrors_standing(status: Mapping[str, Any]) -> tuple[Standing, str]:
    role, peer = status["role"], status["peer"]
    if role in SERVING:
        ready = status["readiness"] == "ready"
        return (Standing.SERVES, "") if ready else (Standing.FAILS, status["reason"] or "its application is not ready")
    if role == "STOP":
        return Standing.STOPPED, status["reason"] or "the mirror is stopped here"
    if peer["role"] in SERVING:
        return Standing.STANDS_BY, f"{peer['name']} serves"
    return Standing.FAILS, status["reason"] or "no node of the mirror is known to serve"


def together(each: Iterable[Health]) -> Health:
    """Of all farms and mirrors on a node: the worst of each. A mirror whose other node serves says nothing about this
    one, unless there is nothing else. A node without any serves nobody.
    """
    known = list(each)
    found = [health for health in known if health.standing is not Standing.STANDS_BY] or known
    if not found:
        return Health(Standing.FAILS, "no farm or mirror runs on this node")
    worst = max(found, key=lambda health: health.standing)
    degraded = any(health.degraded for health in found)
    return Health(worst.standing, worst.reason, degraded, min(health.share for health in found))
