"""Hand-made answers of the daemon, for the tests of what draws them."""

from __future__ import annotations

from typing import Any

from farmd.core.buckets import assign
from farmd.core.view import BUCKETS

NOW_S = 1_800_000_000.0


def traffic(accepted: float, dropped: float, fenced: float = 0.0) -> dict[str, float]:
    return {"accepted_per_s": accepted, "dropped_per_s": dropped, "fenced_per_s": fenced}


def member(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"n{number}",
        "status": "up",
        "member": True,
        "weight": 100,
        "view_weight": 100,
        "draining": False,
        "buckets": 0,
        "share": 0.0,
        "heard": True,
        "deaf": False,
        "ready": True,
        "failing": [],
        "round_trip_ms": None if number == 1 else 0.3 + number / 100,
        "traffic": traffic(800.0 * number, 1600.0 * number),
    } | changes


def event(ago_s: float, epoch: str, text: str) -> dict[str, Any]:
    return {"time": NOW_S - ago_s, "epoch": epoch, "text": text}


def service(name: str, state: str = "running") -> dict[str, Any]:
    return {"name": name, "kind": "unit", "managed": True, "state": state, "since": NOW_S - 300, "restarts": 0,
            "text": ""}  # fmt: skip


def check(name: str, kind: str = "http", state: str = "passing") -> dict[str, Any]:
    return {"name": name, "kind": kind, "state": state, "since": NOW_S - 300, "text": "", "took_ms": 1.2,
            "on_failure": "release"}  # fmt: skip


def status(nodes: int = 3, **changes: Any) -> dict[str, Any]:
    """A farm of so many nodes, seen from n1; all is well unless `changes` say otherwise."""
    members = changes.pop("members", None) or [member(number) for number in range(1, nodes + 1)]
    found: dict[str, Any] = {
        "ok": True,
        "version": "0.1.0",
        "farm": "web",
        "node": "n1",
        "pid": 4711,
        "vips": ["10.0.0.100", "fd00::100"],
        "vmac": "02:00:5e:10:00:64",
        "interface": "eth0",
        "xdp": "native",
        "xdp_reason": "",
        "status": "up",
        "epoch": "7.1",
        "coordinator": True,
        "converged": True,
        "lease": "held",
        "lease_s": 0.2,
        "moving": 0,
        "ready": True,
        "reason": "",
        "failing": [],
        "degraded": False,
        "drain_announced": False,
        "stopped": False,
        "members": members,
        "counters": {"accepted": 1, "drop_other": 2},
        "refused": {"Unproved": 0},
        "moves": [],
        "services": [],
        "checks": [],
        "events": [
            event(4, "7.1", "n2 is back: 341 buckets move to it"),
            event(95, "6.1", "n2 failed: n1 and n3 take its 341 buckets after 412 ms"),
            event(7300, "5.1", "n1, n2 and n3 agree"),
        ],
        "takeovers": {"count": 1, "last_ms": 412.3, "sum_ms": 412.3},
        "buckets": buckets(members),
    } | changes
    for one in members:
        one["buckets"] = found["buckets"]["owners"].count(one["name"])
        one["share"] = round(one["buckets"] / BUCKETS, 4)
    return found


def buckets(members: list[dict[str, Any]], before: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Who owns what, by the farm's own rule; moving from the owners among the members `before`, if given."""
    names = {one["id"]: one["name"] for one in members}
    previous = bytes(BUCKETS) if before is None else _owners(before, bytes(BUCKETS))
    owners = _owners(members, previous)
    moving = [before is not None and old != new and old in names for old, new in zip(previous, owners, strict=True)]
    return {
        "owners": [names.get(owner) for owner in owners],
        "states": [_state(names.get(owner), moves) for owner, moves in zip(owners, moving, strict=True)],
        "packets": [0] * BUCKETS,
        "contested": [],
    }


def _owners(members: list[dict[str, Any]], previous: bytes) -> bytes:
    able = [one for one in members if one["status"] == "up" and one["ready"]]
    fewest = min((len(one["failing"]) for one in able), default=0)
    return assign({one["id"]: one["weight"] for one in able if len(one["failing"]) == fewest}, previous)


def _state(owner: str | None, moves: bool) -> str:
    match owner == "n1", moves:
        case True, True:
            return "filling"
        case False, True:
            return "draining"
        case mine, _:
            return "owned" if mine else "other"
