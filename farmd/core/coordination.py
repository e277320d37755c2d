"""What the next view should be: pure functions, asked by whoever coordinates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from farmd.core.buckets import ALL_MOVING, UNOWNED, assign, moved
from farmd.core.events import NodeState, Status
from farmd.core.evidence import Evidence, Peer
from farmd.core.settings import Settings
from farmd.core.view import Epoch, Member, View


@dataclass(frozen=True, slots=True)
class Situation:
    """What a coordinator knows when it draws up a view."""

    base: View | None
    """The newest view that may be in force anywhere among the members."""
    members: tuple[Member, ...]
    leaving: frozenset[int]
    """Nodes that say goodbye: left out, but not failed."""
    newcomers_have_flows: bool
    """A node that comes in has served before, apart from us."""
    quiet: bool
    """No member has flows left in buckets of others."""
    settled: bool
    """The base is in force long enough to look back on it."""
    hash_key_id: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that is to be a member, as the coordinator knows it."""

    id: int
    weight: int
    draining: bool
    """It must own nothing, whatever becomes of the others."""
    failing: int
    """How many of its checks fail."""


def members(candidates: Iterable[Candidate]) -> tuple[Member, ...]:
    """The candidates as a view counts them. Of those that may own buckets, only those do of which the fewest checks
    fail; what fails everywhere is nobody's fault, and all serve on."""
    ordered = sorted(candidates, key=lambda candidate: candidate.id)
    fewest = min((one.failing for one in ordered if one.weight and not one.draining), default=0)
    return tuple(Member(one.id, one.weight, one.draining or one.failing > fewest) for one in ordered)


def next_view(epoch: Epoch, situation: Situation) -> View:
    """The view that fits the situation. Equal agreements mean that nothing needs to change."""
    base, members = situation.base, situation.members
    ids = frozenset(member.id for member in members)
    weights = {member.id: member.share for member in members}
    owners = assign(weights, base.owners if base else UNOWNED)
    if base is None:
        moving = ALL_MOVING if situation.newcomers_have_flows else 0
        return View(epoch, members, owners, moving, frozenset(), situation.hash_key_id)
    failed = (base.failed | base.ids) - ids - situation.leaving
    kept = 0 if situation.quiet and situation.settled else base.moving
    moving = kept | moved(base.owners, owners, ids)
    cut = bool(failed & base.failed) and situation.settled  # for long enough; who failed just now is taken for dead
    if cut or situation.newcomers_have_flows or situation.hash_key_id != base.hash_key_id:
        moving = ALL_MOVING
    return View(epoch, members, owners, moving, failed, situation.hash_key_id)


def taken_from(before: View, after: View, node: int) -> frozenset[int]:
    """The nodes that failed between two views and whose buckets `node` has now."""
    gained = {old for old, new in zip(before.owners, after.owners, strict=True) if new == node}
    return after.failed & gained


def holds_nothing(peer: Peer[NodeState]) -> bool:
    """Whether a peer says that it has no bucket open."""
    return peer.state is not None and peer.state.status in (Status.JOINING, Status.LEAVING)


def dispensable(evidence: Evidence[NodeState], now_ns: int) -> frozenset[int]:
    """The nodes that this one can do without. Another may hear the bystanders among them no more, or not yet."""
    return evidence.suspects(now_ns) | {peer.id for peer in evidence.live(now_ns) if holds_nothing(peer)}


def in_force(peer: Peer[NodeState]) -> bool:
    """Whether the peer follows a view as its member."""
    return peer.state is not None and peer.state.status in (Status.UP, Status.DRAINING)


def coordinator(settings: Settings, evidence: Evidence[NodeState], own: Status, now_ns: int) -> int | None:
    """The lowest-numbered node in a view; where nobody is, the lowest-numbered fit one that waits."""
    standing = {
        peer.id: (peer.state.status, peer.state.fit) for peer in evidence.live(now_ns) if peer.state is not None
    }
    standing[settings.node] = (own, evidence.fit(now_ns))
    in_view = [node for node, (status, _) in standing.items() if status in (Status.UP, Status.DRAINING)]
    waiting = [node for node, (status, fit) in standing.items() if status is Status.JOINING and fit]
    return min(in_view or waiting, default=None)


def eligible(base: View | None, evidence: Evidence[NodeState], now_ns: int) -> list[Peer[NodeState]]:
    """Peers that belong in the next view: members in force, and fit nodes that wait."""
    members = base.ids if base else frozenset()
    peers = [peer for peer in evidence.live(now_ns) if peer.state is not None]
    return [
        peer
        for peer in peers
        if (in_force(peer) and peer.id in members)
        or (peer.state is not None and peer.state.status is Status.JOINING and peer.state.fit)
    ]


def agreed(
    settings: Settings, evidence: Evidence[NodeState], chosen: list[Peer[NodeState]], now_ns: int
) -> list[Peer[NodeState]] | None:
    """The chosen peers that will agree to do without everybody else; None if that is not possible yet.

    A node may be left out when every member suspects it or hears that it holds nothing. One that waits and still
    hears somebody whom the others cannot hear has to wait on; a member in that position keeps the old view alive.
    """
    ids = {peer.id for peer in chosen} | {settings.node}
    rest = [evidence.peers[node] for node in settings.nodes - ids]
    needed = {peer.id for peer in rest if not (peer.live(now_ns, settings.suspect_ns) and holds_nothing(peer))}
    if any(peer.id in needed and not peer.silent(now_ns, settings.suspect_ns) for peer in rest):
        return None
    willing = [peer for peer in chosen if peer.state is not None and needed <= peer.state.dispensable]
    refusing = [peer for peer in chosen if peer not in willing]
    if any(in_force(peer) for peer in refusing):
        return None
    return willing if not refusing else agreed(settings, evidence, willing, now_ns)
