"""Hand-made answers of mirrord, for the tests of what reads and draws them."""

from __future__ import annotations

from typing import Any

from tests.unit.statuses import NOW_S, service

NETWORKS = ("10.0.0.2", "10.99.0.2")


def event(ago_s: float, generation: str, text: str) -> dict[str, Any]:
    return {"time": NOW_S - ago_s, "generation": generation, "text": text}


def figures(writes_s: float = 4200.0, bytes_s: float = 17_200_000.0, **changes: Any) -> dict[str, Any]:
    return {
        "writes_s": writes_s,
        "bytes_s": bytes_s,
        "latency_ms": {"p50": 0.128, "p99": 0.512, "histogram": {"0.128": 900, "0.256": 80, "0.512": 19, "2097.15": 1}},
        "in_flight": 2,
        "held": 0,
        "zones": 118,
        "lag_bytes": 8192,
        "sent_bytes": 0,
    } | changes


def peer(role: str | None = "SECOND", heard_ms_ago: float | None = 41.0, **changes: Any) -> dict[str, Any]:
    networks = [{"address": address, "heard_ms_ago": heard_ms_ago} for address in NETWORKS]
    return {
        "name": "n2",
        "heard": role is not None,
        "role": role,
        "ready": role is not None,
        "condition": role and "insync",
        "generation": role and "7.1",
        "round_trip_ms": role and 0.31,
        "heard_ms_ago": heard_ms_ago,
        "networks": networks,
    } | changes


def progress(done: float = 0.4, total_bytes: int = 8_000_000_000, **changes: Any) -> dict[str, Any]:
    return {
        "done_bytes": int(done * total_bytes),
        "total_bytes": total_bytes,
        "sent_bytes": 52_000_000,
        "done_files": 900,
        "total_files": 2100,
        "rate_bytes_s": 310_000_000,
        "left_s": 15.5,
    } | changes


def status(**changes: Any) -> dict[str, Any]:
    """A mirror seen from n1, which serves; all is well unless `changes` say otherwise."""
    return {
        "ok": True,
        "version": "0.1.0",
        "kind": "mirror",
        "mirror": "db",
        "node": "n1",
        "pid": 4711,
        "lease_s": 1.0,
        "role": "PRIM",
        "readiness": "ready",
        "reason": "",
        "generation": "7.1",
        "condition": "insync",
        "in_sync": True,
        "linked": True,
        "no_link": "",
        "ack": "applied",
        "prefer": None,
        "progress": None,
        "verified": None,
        "figures": figures(),
        "peer": peer(),
        "witness": {"configured": ["10.0.255.254"], "answered_ms_ago": 210.0},
        "directories": ["/var/lib/postgresql/15/main"],
        "vips": ["10.0.0.200", "fd00::200"],
        "vip_mode": "vmac",
        "vip_how": "vmac, xdp native",
        "vip_trouble": "",
        "interface": "eth0",
        "lease": "held",
        "application": True,
        "services": [service("postgresql")],
        "checks": [],
        "diverged": None,
        "clocks_apart_s": 0.0,
        "takeovers": {"count": 1, "last_ms": 2012.0, "sum_ms": 2012.0},
        "counters": {"owned": 51_200, "drop_fenced": 3},
        "refused": {"Unproved": 0},
        "events": [
            event(4, "7.1", "n2 is in sync again: 52 MB of 8.0 GB differed"),
            event(95, "7.1", "n2 fell silent: this node serves alone after 2012 ms"),
            event(7300, "6.2", "n1 and n2 changed places"),
        ],
    } | changes


SILENT: dict[str, Any] = {"role": None, "heard_ms_ago": 95_000.0}


def alone(**changes: Any) -> dict[str, Any]:
    """n2 has lost its power."""
    here = {"role": "ALONE", "condition": "alone", "in_sync": False, "linked": False, "peer": peer(**SILENT)}
    return status(**here | changes)


def resyncing(**changes: Any) -> dict[str, Any]:
    """n2 is back, and is being brought up to date."""
    there = peer(condition="outdated", generation="6.2")
    return alone(**{"linked": True, "progress": progress(), "peer": there} | changes)


def second(**changes: Any) -> dict[str, Any]:
    """Seen from the other node."""
    there: dict[str, Any] = {
        "node": "n2",
        "role": "SECOND",
        "peer": peer("PRIM", name="n1"),
        "services": [service("postgresql", "stopped")],
        "application": False,
        "figures": figures(0, 0, lag_bytes=0),
    }
    return status(**there | changes)


def waiting(**changes: Any) -> dict[str, Any]:
    """Outdated, and the peer is not there."""
    here: dict[str, Any] = {
        "role": "WAIT",
        "condition": "outdated",
        "in_sync": False,
        "linked": False,
        "readiness": "not-ready",
        "reason": "the data here is outdated; it waits for n1, which has newer data",
        "generation": "6.2",
        "peer": peer(None, None, name="n1"),
    }
    return second(**here | changes)
