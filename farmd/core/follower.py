"""Following views: what a node promises, releases and opens, whoever coordinates.

The promise is the heart of it. A node that has promised a view opens nothing for an older one any more, so of two
coordinators that do not know of each other only one can bring its members to an end.
"""

from __future__ import annotations

from farmd.core import buckets, coordination
from farmd.core.events import Action, Install, NodeState, Proposal
from farmd.core.evidence import Evidence, Peer
from farmd.core.settings import Settings
from farmd.core.standing import Standing
from farmd.core.view import NEVER, Epoch, View


class Follower:
    """The views of one node, and the table of its filter."""

    def __init__(
        self, settings: Settings, evidence: Evidence[NodeState], standing: Standing, now_ns: int, *, flows: bool
    ) -> None:
        self.settings = settings
        self.evidence = evidence
        self.standing = standing
        self.view: View | None = None
        """The view in force here; None while joining."""
        self.installed = NEVER
        self.installed_ns = now_ns
        self.promise: View | None = None
        """A view promised and not yet in force."""
        self.losers: frozenset[int] | None = None
        """Whose release the promised view waits for; None: it is not committed yet."""
        self.newest: View | None = None
        """The newest view that may be in force anywhere among us: another's counts once it is promised, one of our own
        once it is committed. None while joining."""
        self.promised = NEVER
        self.released = NEVER
        self.holds = False
        """Buckets are open here that the promised view gives to others."""
        self.table = buckets.CLOSED
        self.hash_key_id = settings.hash_key_ids[0]
        self.flows = flows
        """Flows may live here in buckets of others."""
        self.witness_ns = now_ns - settings.suspect_ns
        """When the newest probe that the witness answered was sent."""
        self.witness_since_ns = now_ns
        """When the first was sent of all those that the witness has answered since without a pause."""

    # -- prepare -------------------------------------------------------------------------------------------------------

    def consider(self, now_ns: int, proposal: Proposal) -> list[Action]:
        """Takes notice of a proposal: promises it if that is safe, releases for it once it is committed."""
        view = proposal.view
        if not proposal.committed and view.epoch > self.promised and self._may_promise(now_ns, view):
            self.promised, self.losers = view.epoch, None
            self.promise = view if self.settings.node in view.ids else None
            if view.epoch.coordinator != self.settings.node:
                self.newest = self.promise
            self.holds = buckets.holds(self.table, view, self.settings.node, same_hash=self._same_hash(view))
        if proposal.committed and view == self.promise and self.losers is None:
            self.losers, self.newest = proposal.losers, self.promise
            return self._release(view)
        return []

    def _may_promise(self, now_ns: int, view: View) -> bool:
        """Whether this node can vouch that nobody outside the view answers, and takes what it gets."""
        if self.settings.node not in view.ids:
            return self.view is None
        return (
            self._takes(now_ns, view)
            and self.admissible(now_ns, view)
            and all(
                peer.state is not None and peer.state.promised >= view.epoch
                for peer in self._outside(view)
                if not self.evidence.silent(peer, now_ns)
            )
        )

    def _takes(self, now_ns: int, view: View) -> bool:
        """Whether this node may own what the view gives to it. If not, its coordinator did not know that yet and will
        draw up another one. So who is not ready and has released its buckets opens none again."""
        return self.settings.node not in view.owners or not self.standing.draining(now_ns)

    def admissible(self, now_ns: int, view: View) -> bool:
        """Whether this node could promise the view as soon as the bystanders have."""
        if view.hash_key_id not in self.settings.hash_key_ids:
            return False
        if not self._hears_losers(now_ns, view):
            return False
        outside = self._outside(view)
        silent = {peer.id for peer in outside if self.evidence.silent(peer, now_ns)}
        if not all(peer.id in silent or self._bystander(peer) for peer in outside):
            return False
        if self.settings.quorum == "majority" and len(view.members) < self.settings.majority:
            return False
        return not self.settings.witness or self._witness_vouches(silent, now_ns)

    def _hears_losers(self, now_ns: int, view: View) -> bool:
        """Whether this node hears everybody who will have to release for the view. Else it would wait in vain, with
        their buckets closed everywhere. Who is in no view yet cannot know them and must hear all members."""
        losers = view.ids
        if self.view is not None:
            losers &= {old for old, new in zip(self.view.owners, view.owners, strict=True) if old != new}
        return losers <= {self.settings.node, *(peer.id for peer in self.evidence.live(now_ns))}

    def _bystander(self, peer: Peer[NodeState]) -> bool:
        return peer.incarnation is not None and coordination.holds_nothing(peer)

    def witness_answered(self, sent_ns: int) -> None:
        """Takes note of an answer to the probe that was sent then."""
        if sent_ns - self.witness_ns > self.settings.suspect_ns:
            self.witness_since_ns = sent_ns
        self.witness_ns = max(self.witness_ns, sent_ns)

    def _witness_vouches(self, silent: set[int], now_ns: int) -> bool:
        """Leaving out a silent node for the first time takes the witness's answer: it may be us who are cut off. And if
        it was us until just now, the first answer may come before the first word of others who live."""
        newly = silent if self.view is None else silent & self.view.ids
        answers = now_ns - self.witness_ns <= self.settings.suspect_ns
        return not newly or (answers and now_ns - self.witness_since_ns >= self.settings.stale_ns)

    def _outside(self, view: View) -> list[Peer[NodeState]]:
        return [self.evidence.peers[node] for node in sorted(self.settings.nodes - view.ids)]

    # -- release -------------------------------------------------------------------------------------------------------

    def _same_hash(self, view: View) -> bool:
        return view.hash_key_id == self.hash_key_id

    def _release(self, view: View) -> list[Action]:
        self.released = view.epoch
        if not self.holds:
            return []
        self.table = buckets.release(self.table, view, self.settings.node, same_hash=self._same_hash(view))
        return [Install(self.table, self.hash_key_id, view.epoch)]

    # -- open ----------------------------------------------------------------------------------------------------------

    def open(self, now_ns: int) -> list[Action]:
        """Puts the promised view in force once everybody who has to has released for it."""
        view = self.promise
        if view is None or self.losers is None:
            return []
        if not all(self._has_released(loser, view.epoch) for loser in self.losers - {self.settings.node}):
            return []
        self.table = buckets.states(view, self.settings.node)
        self.hash_key_id = view.hash_key_id
        self.view, self.installed, self.installed_ns = view, view.epoch, now_ns
        self.promise, self.losers, self.holds = None, None, False
        self.flows = view.moving != 0
        return [Install(self.table, self.hash_key_id, view.epoch)]

    def _has_released(self, node: int, epoch: Epoch) -> bool:
        state = self.evidence.peers[node].state
        return state is not None and state.released == epoch

    # -- close ---------------------------------------------------------------------------------------------------------

    def close(self) -> list[Action]:
        """Leaves the view and forgets what was promised for it; the promise itself still binds."""
        self.flows = self.flows or self.view is not None
        self.view, self.newest, self.promise, self.losers, self.holds = None, None, None, None, False
        self.table = buckets.CLOSED
        return [Install(self.table, self.hash_key_id, max(self.installed, self.released))]

    def stragglers(self) -> bool:
        """Whether a member has not followed into the view in force here."""
        assert self.view is not None
        peers = [self.evidence.peers[node] for node in self.view.ids - {self.settings.node}]
        return any(peer.state is None or peer.state.installed != self.installed for peer in peers)
