"""What a node tells people and programs about itself: plain values, ready for JSON."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from farmd import __version__
from farmd.config import Node
from farmd.core import coordination
from farmd.core.buckets import State
from farmd.core.events import NodeState, Status
from farmd.core.evidence import Peer
from farmd.core.membership import Membership
from farmd.core.settings import MS
from farmd.core.view import BUCKETS
from farmd.health import health

if TYPE_CHECKING:
    from farmd.daemon import Daemon


def snapshot(daemon: Daemon) -> dict[str, Any]:
    """The answer to `farmctl status`."""
    config, node, core, datapath = daemon.config, daemon.node, daemon.core, daemon.datapath
    now_ns = time.monotonic_ns()
    members = [_member(daemon, other, now_ns) for other in config.nodes]
    return {
        "version": __version__,
        "farm": config.farm.name,
        "node": node.name,
        "pid": os.getpid(),
        "vips": [str(vip) for vip in config.farm.vips],
        "vmac": config.farm.vmac.hex(":"),
        "interface": config.farm.interface,
        "xdp": datapath.mode,
        "xdp_reason": datapath.mode_reason,
        "status": core.status.name.lower(),
        "epoch": str(core.follower.installed),
        "coordinator": coordination.coordinator(core.settings, core.evidence, core.status, now_ns) == node.id,
        "converged": core.converged(),
        "lease_s": config.timing.lease_s,
        "lease": "held" if core.lease_until_ns > now_ns else "fenced",
        "moving": core.view.moving.bit_count() if core.view is not None else 0,
        "drain_ahead_s": config.farm.drain_ahead_s,
        "flows": core.flows,
        **health(daemon, members, now_ns),
        "drain_announced": core.standing.drain_announced or daemon.supervising.core.announced,
        "takeovers": daemon.takeovers.all(),
        "members": members,
        "counters": datapath.counters(),
        "refused": dict(sorted(daemon.heartbeats.refused.items())) | {"Unproved": core.evidence.unproved},
        "moves": daemon.moves.all(),
    }


def watched(daemon: Daemon, *, with_buckets: bool) -> dict[str, Any]:
    """What those who watch are told."""
    found = snapshot(daemon)
    return found | {"buckets": buckets(daemon)} if with_buckets else found


def seen(daemon: Daemon) -> object:
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


def buckets(daemon: Daemon) -> dict[str, Any]:
    """The answer to `farmctl buckets`: for each bucket its owner's name, its state here and the packets accepted."""
    core = daemon.core
    names = {other.id: other.name for other in daemon.config.nodes}
    owners = core.view.owners if core.view is not None else bytes(BUCKETS)
    return {
        "epoch": str(core.follower.installed),
        "owners": [names.get(owner) for owner in owners],
        "states": [State(state).name.lower() for state in core.follower.table],
        "packets": daemon.datapath.bucket_packets(),
        "contested": _contested(core),
    }


def _contested(core: Membership) -> list[int]:
    """The buckets that a promised view gives to another owner than the view in force."""
    now, next_ = core.view, core.follower.promise
    if now is None or next_ is None:
        return []
    return [bucket for bucket in range(BUCKETS) if now.owners[bucket] != next_.owners[bucket]]


def _member(daemon: Daemon, other: Node, now_ns: int) -> dict[str, Any]:
    core = daemon.core
    member = core.view.member(other.id) if core.view is not None else None
    owned = core.view.owners.count(other.id) if core.view is not None else 0
    known = _own(daemon) if other.id == core.node else _peer(daemon, core.evidence.peers[other.id], now_ns)
    draining = member is not None and member.draining
    return {
        "id": other.id,
        "name": other.name,
        "status": _status(core, other.id, now_ns),
        "member": member is not None,
        "weight": core.orders.weight(other.id, other.weight),
        "view_weight": member.weight if member is not None else None,
        "draining": draining,
        # By an order in force, or by one taken back that the view still obeys; else by what its checks say.
        "drained": draining and (core.orders.drained(other.id) or (known["ready"] and not known["failing"])),
        "buckets": owned,
        "share": round(owned / BUCKETS, 4),
        **known,
    }


def _own(daemon: Daemon) -> dict[str, Any]:
    standing = daemon.core.standing
    return {
        "ready": standing.ready,
        "failing": standing.failing,
        "heard": True,
        "deaf": False,
        "round_trip_ms": None,
        "traffic": asdict(daemon.meter.traffic),
    }


def _peer(daemon: Daemon, peer: Peer[NodeState], now_ns: int) -> dict[str, Any]:
    """What a peer says and how it is heard; of one that is silent nothing is known."""
    live = peer.live(now_ns, daemon.core.settings.suspect_ns)
    state = peer.state if live else None
    traffic = daemon.heartbeats.traffic_of(peer.id, peer.incarnation) if live else None
    round_trip_ns = peer.round_trip_ns if live else None
    return {
        "ready": state is not None and state.ready,
        "failing": state.failing if state is not None else (),
        "heard": live,
        "deaf": peer.deaf and live,
        "round_trip_ms": None if round_trip_ns is None else round_trip_ns / MS,
        "traffic": None if traffic is None else asdict(traffic),
    }


def _status(core: Membership, node: int, now_ns: int) -> str:
    if node == core.node:
        return core.status.name.lower()
    peer = core.evidence.peers[node]
    if peer.state is None or not peer.live(now_ns, core.settings.suspect_ns):
        left = peer.state is not None and peer.state.status is Status.LEAVING
        return "left" if left else "failed" if core.view is not None and node in core.view.failed else "silent"
    return peer.state.status.name.lower()
