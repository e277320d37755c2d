"""What a node tells people and programs about itself: plain values, ready for JSON."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from farmd import __version__
from farmd.health import looked_after
from mirrord.core.generations import NONE

if TYPE_CHECKING:
    from mirrord.daemon import Daemon

MS = 1_000_000
NS = 1_000_000_000
EVENTS_IN_STATUS = 20


def snapshot(daemon: Daemon) -> dict[str, Any]:
    """The answer to `farmctl status`."""
    config, core, mirror = daemon.config, daemon.core, daemon.config.mirror
    now_ns = time.monotonic_ns()
    generation = core.state.generation
    return {
        "kind": "mirror",
        "version": __version__,
        "mirror": mirror.name,
        "node": daemon.node.name,
        "pid": os.getpid(),
        "volume_pid": daemon.volume.pid,
        "directories": [str(directory) for directory in mirror.directories],
        "role": str(core.role),
        "readiness": str(core.readiness),
        "reason": core.reason,
        "generation": str(generation) if generation != NONE else None,
        "condition": str(core.state.condition),
        "in_sync": core.in_sync,
        "linked": core.linked,
        "no_link": no_link(daemon),
        "ack": mirror.ack,
        "prefer": mirror.prefer or None,
        "progress": daemon.seen.progress(),
        "verified": daemon.seen.verified,
        "figures": daemon.seen.figures.all(),
        "peer": _peer(daemon, now_ns),
        "witness": _witness(daemon, now_ns),
        "vips": [str(vip) for vip in mirror.vips],
        "vip_mode": mirror.vip_mode,
        "vip_how": daemon.address.mode,
        "vip_trouble": daemon.address.trouble,
        "interface": mirror.interface,
        "lease_s": config.timing.lease_s,
        "lease": "held" if core.lease_until_ns > now_ns else "fenced",
        "application": daemon.application.runs,
        **looked_after(daemon.application.core, config, now_ns),
        "diverged": daemon.seen.diverged,
        "clocks_apart_s": round(core.clocks_apart_ns / NS, 3),
        "takeovers": daemon.takeovers.all(),
        "counters": daemon.address.counters,
        "refused": dict(sorted(daemon.heartbeats.refused.items())) | {"Unproved": core.evidence.unproved},
        "events": daemon.events.newest(EVENTS_IN_STATUS),
    }


def no_link(daemon: Daemon) -> str:
    """Why the two are not linked although they should be, in a sentence; empty if there is nothing to say."""
    return "" if daemon.core.linked else daemon.core.mismatched or daemon.linking.trouble or daemon.refusals.trouble


def _peer(daemon: Daemon, now_ns: int) -> dict[str, Any]:
    """What the peer says and how it is heard; of one that is silent nothing is known."""
    node = daemon.config.peer_of(daemon.node)
    peer = daemon.core.evidence.peers[node.id]
    word = peer.state if peer.live(now_ns, daemon.core.settings.suspect_ns) else None
    heard = daemon.heartbeats.heard_ns()
    newest_ns = max((at_ns for at_ns in heard.values() if at_ns is not None), default=None)
    return {
        "name": node.name,
        "heard": word is not None,
        "role": None if word is None else str(word.role),
        "ready": word is not None and word.ready,
        "condition": None if word is None else str(word.state.condition),
        "generation": None if word is None or word.state.generation == NONE else str(word.state.generation),
        "round_trip_ms": None if peer.round_trip_ns is None or word is None else peer.round_trip_ns / MS,
        "heard_ms_ago": _ms_ago(newest_ns, now_ns),
        "networks": [
            {"address": str(address), "heard_ms_ago": _ms_ago(at_ns, now_ns)} for address, at_ns in heard.items()
        ],
    }


def _witness(daemon: Daemon, now_ns: int) -> dict[str, Any]:
    return {
        "configured": [str(address) for address in daemon.config.mirror.witness],
        "answered_ms_ago": _ms_ago(daemon.seen.witness_ns, now_ns),
    }


def _ms_ago(at_ns: int | None, now_ns: int) -> float | None:
    return None if at_ns is None else round((now_ns - at_ns) / MS, 1)


def seen(daemon: Daemon) -> object:
    """Everything of a status but figures, rates and times; cheap, since it is compared after every step."""
    now_ns = time.monotonic_ns()
    core, supervisor = daemon.core, daemon.application.core
    peer = core.evidence.peers[core.settings.peer]
    word = peer.state if peer.live(now_ns, core.settings.suspect_ns) else None
    return (
        core.role,
        core.readiness,
        core.reason,
        core.state,
        core.in_sync,
        core.linked,
        no_link(daemon),
        core.lease_until_ns > now_ns,
        word,
        daemon.seen.verified,
        daemon.seen.diverged,
        daemon.address.trouble,
        daemon.application.runs,
        supervisor.reason,
        supervisor.failing,
        [(life.state, life.wanted) for life in supervisor.lives],
        [check.state for check in supervisor.checks.values()],
    )
