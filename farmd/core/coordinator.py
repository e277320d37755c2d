"""Coordinating: draw up a view that fits what is known, see it promised, commit it, see it in force."""

from __future__ import annotations

from dataclasses import replace

from farmd.core import coordination
from farmd.core.coordination import Candidate, Situation
from farmd.core.events import NodeState, Proposal, Status
from farmd.core.evidence import Evidence, Peer
from farmd.core.follower import Follower
from farmd.core.orders import Orders
from farmd.core.settings import Settings
from farmd.core.standing import Standing
from farmd.core.view import NEVER, Epoch, View


class Coordinator:
    """What a node does while it is the one that coordinates, and finishes afterwards."""

    def __init__(
        self, settings: Settings, evidence: Evidence[NodeState], follower: Follower, orders: Orders, standing: Standing
    ) -> None:
        self.settings = settings
        self.evidence = evidence
        self.follower = follower
        self.orders = orders
        self.standing = standing
        self.proposal: Proposal | None = None
        self._proposed = NEVER
        self._committed_ns = 0
        self._drawn: tuple[Situation, View] | None = None

    def step(self, now_ns: int, *, coordinates: bool) -> None:
        """Brings the proposal up to date with what is known. The follower considers it like anybody's."""
        self._finish()
        if not coordinates:
            if self.proposal is not None and not self.proposal.committed:
                self.proposal = None
            return
        if not self._under_way(now_ns):
            self._draw_up(now_ns)

    def _finish(self) -> None:
        """Ends a committed proposal once every member has it in force, or a newer view is on its way."""
        proposal, follower = self.proposal, self.follower
        if proposal is None or not proposal.committed:
            return
        in_force = follower.view == proposal.view and not follower.stragglers()
        if in_force or follower.promised > proposal.view.epoch:
            self.proposal = None

    def _under_way(self, now_ns: int) -> bool:
        """Whether a committed view is about to come into force. Some have released for it, so another view drawn up now
        would leave their buckets closed everywhere until that one is in force."""
        proposal = self.proposal
        if proposal is None or not proposal.committed or self._overtaken(proposal.view):
            return False
        return now_ns - self._committed_ns <= self.settings.stale_ns

    def commit_if_promised(self, now_ns: int) -> None:
        """Commits the proposal when every member has promised it, and learns from the promises who must release."""
        proposal = self.proposal
        if proposal is None or proposal.committed or self.follower.promised != proposal.view.epoch:
            return
        losers = {self.settings.node} if self.follower.holds else set()
        for node in proposal.view.ids - {self.settings.node}:
            state = self.evidence.peers[node].state
            if state is None or state.promised != proposal.view.epoch:
                return
            if state.holds:
                losers.add(node)
        self.proposal = replace(proposal, committed=True, losers=frozenset(losers))
        self._committed_ns = now_ns

    # -- drawing up ----------------------------------------------------------------------------------------------------

    def _draw_up(self, now_ns: int) -> None:
        base = self.follower.newest
        eligible = coordination.eligible(base, self.evidence, now_ns)
        chosen = coordination.agreed(self.settings, self.evidence, eligible, now_ns)
        if chosen is None:
            return
        view = self._view(self._situation(base, chosen, now_ns))
        current = self.proposal.view if self.proposal is not None else self.follower.view
        if (
            current is not None
            and view.same_agreement(current)
            and not self._unfinished(chosen, now_ns)
            and not self._overtaken(current)
        ):
            return
        if self.follower.admissible(now_ns, view):
            self._proposed = self._next_epoch()
            self.proposal = Proposal(replace(view, epoch=self._proposed), False, frozenset())

    def _view(self, situation: Situation) -> View:
        """The view for a situation; drawn up anew only when the situation is."""
        if self._drawn is None or self._drawn[0] != situation:
            self._drawn = (situation, coordination.next_view(NEVER, situation))
        return self._drawn[1]

    def _unfinished(self, chosen: list[Peer[NodeState]], now_ns: int) -> bool:
        """Whether somebody waits although the agreement would stay the same, and nothing is on its way to them: a
        member that closed and comes back, or one that has missed the view since its coordinator died. What was
        committed a suspicion time ago and is not in force with everybody is on its way no more."""
        follower = self.follower
        if self.proposal is not None:
            return self.proposal.committed and now_ns - self._committed_ns > self.settings.suspect_ns
        if follower.promise is not None or follower.view is None:
            return True
        waits = follower.stragglers() or not all(coordination.in_force(peer) for peer in chosen)
        return waits and now_ns - follower.installed_ns > self.settings.stale_ns

    def _overtaken(self, view: View) -> bool:
        """Whether a member has promised something newer than this view, and so could not follow it."""
        if self.follower.promised > view.epoch:
            return True
        peers = [self.evidence.peers[node] for node in view.ids - {self.settings.node}]
        return any(peer.state is not None and peer.state.promised > view.epoch for peer in peers)

    def _next_epoch(self) -> Epoch:
        seen = [self.follower.installed, self.follower.promised, self._proposed]
        for peer in self.evidence.peers.values():
            if peer.state is not None:
                seen += [peer.state.installed, peer.state.promised]
        return Epoch(max(epoch.number for epoch in seen) + 1, self.settings.node)

    # -- the situation -------------------------------------------------------------------------------------------------

    def _situation(self, base: View | None, chosen: list[Peer[NodeState]], now_ns: int) -> Situation:
        candidates = [self._own_candidacy(now_ns), *(self._candidacy(peer) for peer in chosen)]
        goodbyes = [
            peer.id
            for peer in self.evidence.live(now_ns)
            if peer.state is not None and peer.state.status is Status.LEAVING
        ]
        return Situation(
            base=base,
            members=coordination.members(candidates),
            leaving=frozenset(goodbyes),
            newcomers_have_flows=self._newcomers_have_flows(chosen),
            quiet=base is not None and self._quiet(base, chosen),
            settled=base is not None and base is self.follower.view and self._settled(now_ns),
            hash_key_id=self.settings.hash_key_ids[0],
        )

    def _own_candidacy(self, now_ns: int) -> Candidate:
        node, standing = self.settings.node, self.standing
        weight = self.orders.weight(node, self.settings.weight)
        return Candidate(node, weight, standing.draining(now_ns), len(standing.failing))

    def _candidacy(self, peer: Peer[NodeState]) -> Candidate:
        """By the peer's own word; one that waits may not yet have heard of an order for it."""
        state = peer.state
        assert state is not None
        draining = state.draining or (state.status is Status.JOINING and self.orders.drained(peer.id))
        return Candidate(peer.id, self.orders.weight(peer.id, state.weight), draining, len(state.failing))

    def _newcomers_have_flows(self, chosen: list[Peer[NodeState]]) -> bool:
        own = self.follower.view is None and self.follower.flows
        return own or any(
            peer.state is not None and peer.state.status is Status.JOINING and peer.state.flows for peer in chosen
        )

    def _quiet(self, base: View, chosen: list[Peer[NodeState]]) -> bool:
        return not self.follower.flows and all(
            peer.state is not None and peer.state.installed == base.epoch and not peer.state.flows for peer in chosen
        )

    def _settled(self, now_ns: int) -> bool:
        return now_ns - self.follower.installed_ns >= self.settings.settle_ns
