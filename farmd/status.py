"""What a node tells people and programs about itself: plain values, ready for JSON."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from farmd.config import Config, Node
from farmd.core import coordination
from farmd.core.buckets import State
from farmd.core.events import Status
from farmd.core.membership import Membership
from farmd.core.view import BUCKETS

if TYPE_CHECKING:
    from farmd.daemon import Daemon


def snapshot(daemon: Daemon) -> dict[str, Any]:
    """The answer to `farmctl status`."""
    config, node, core, datapath = daemon.config, daemon.node, daemon.core, daemon.datapath
    now_ns = time.monotonic_ns()
    return {
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
        "lease": "held" if core.lease_until_ns > now_ns else "fenced",
        "moving": core.view.moving.bit_count() if core.view is not None else 0,
        "members": [_member(config, core, other, now_ns) for other in config.nodes],
        "counters": datapath.counters(),
        "refused": dict(sorted(daemon.heartbeats.refused.items())) | {"Unproved": core.evidence.unproved},
        "moves": daemon.moves.all(),
    }


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
    }


def _member(config: Config, core: Membership, other: Node, now_ns: int) -> dict[str, Any]:
    member = core.view.member(other.id) if core.view is not None else None
    owned = core.view.owners.count(other.id) if core.view is not None else 0
    peer = core.evidence.peers.get(other.id)
    return {
        "id": other.id,
        "name": other.name,
        "status": _status(core, other.id, now_ns),
        "member": member is not None,
        "weight": core.orders.weight(other.id, other.weight),
        "view_weight": member.weight if member is not None else None,
        "draining": member is not None and member.draining,
        "buckets": owned,
        "share": round(owned / BUCKETS, 4),
        "heard": peer is None or peer.live(now_ns, core.settings.suspect_ns),
        "deaf": peer is not None and peer.deaf and peer.live(now_ns, core.settings.suspect_ns),
    }


def _status(core: Membership, node: int, now_ns: int) -> str:
    if node == core.node:
        return core.status.name.lower()
    peer = core.evidence.peers[node]
    if peer.state is None or not peer.live(now_ns, core.settings.suspect_ns):
        left = peer.state is not None and peer.state.status is Status.LEAVING
        return "left" if left else "failed" if core.view is not None and node in core.view.failed else "silent"
    return peer.state.status.name.lower()
