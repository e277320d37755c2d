"""One node's part in the farm: step(now, event) -> actions.

A view comes into force in three phases, each of which may be interrupted anywhere without two nodes answering for one
bucket:

    prepare   the coordinator proposes a view; each member promises it, and from then on opens nothing for an older one
    release   when all have promised, those who hold buckets that the view gives to others close them and say so
    open      when all of those have said so, the others open what they gain

A node is left out only if every member suspects it (by then its lease has ended, see lease.py), or as a bystander: it
holds nothing and promises the view too. A word that it holds nothing would not do, since it may be older than a view
that it has joined since. A node that finds itself left out, or that may have been left out without hearing of it,
closes everything at once and joins again.
"""

from __future__ import annotations

from dataclasses import replace

from farmd.core import buckets, coordination, lease
from farmd.core.events import (
    Action,
    Broadcast,
    Command,
    Event,
    Flows,
    Heartbeat,
    Install,
    Lease,
    Leave,
    NodeState,
    Note,
    Order,
    Proposal,
    Received,
    Status,
    Stop,
    Tick,
    WitnessAnswered,
)
from farmd.core.evidence import Evidence, Peer
from farmd.core.settings import Settings
from farmd.core.view import NEVER, Epoch, Member, View


class Membership:
    """The state of one node. `incarnation` names this run and must differ from every earlier one's; `flows` says
    whether flows of an earlier run still live here."""

    def __init__(self, settings: Settings, incarnation: int, now_ns: int, *, flows: bool = False) -> None:
        self.settings = settings
        self.evidence = Evidence(
            sorted(settings.nodes - {settings.node}), incarnation, now_ns, settings.suspect_ns, settings.stale_ns
        )
        self.view: View | None = None
        """The view in force here; None while joining."""
        self.installed = NEVER
        self.installed_ns = now_ns
        self.promise: View | None = None
        """A view promised and not yet in force."""
        self.promised = NEVER
        self.released = NEVER
        self.proposal: Proposal | None = None
        """What this node coordinates."""
        self._proposed = NEVER
        self.table = buckets.CLOSED
        self.hash_key_id = settings.hash_key_ids[0]
        self.holds = False
        self.orders: dict[int, Order] = {}
        self.lease_until_ns = 0
        self.flows = flows
        self.left = False
        self._losers: frozenset[int] | None = None
        """Whose release the promised view waits for; None: it is not committed yet."""
        self._leave_deadline_ns: int | None = None
        self._stopped = False
        self._witness_ns = now_ns - settings.suspect_ns
        self._seq = 0
        self._spoken: NodeState | None = None
        self._ticked_ns = now_ns
        self._known_suspects: frozenset[int] = frozenset()
        self._out: list[Action] = []

    # -- what others read ----------------------------------------------------------------------------------------------

    @property
    def node(self) -> int:
        return self.settings.node

    @property
    def status(self) -> Status:
        """What this node says of itself."""
        if self.left:
            return Status.LEAVING
        if self.view is None:
            return Status.JOINING
        return Status.DRAINING if self.leaving or self._drained(self.node) else Status.UP

    @property
    def deadline_ns(self) -> int:
        """When the next Tick is due: to speak, or to notice a silence."""
        pending = self.promise is not None or self.proposal is not None
        interval = self.settings.urgent_ns if pending else self.settings.heartbeat_ns
        silences = [
            peer.heard_ns + self.settings.suspect_ns
            for peer in self.evidence.peers.values()
            if peer.heard_ns + self.settings.suspect_ns > self._ticked_ns
        ]
        return min([self._ticked_ns + interval, *silences])

    @property
    def leaving(self) -> bool:
        """Whether this node is on its way out."""
        return self._leave_deadline_ns is not None

    def converged(self, now_ns: int) -> bool:
        """Whether every member has the view in force that is in force here, and no other is on its way."""
        if self.view is None or self.promise is not None or self.proposal is not None:
            return False
        return not self._stragglers(now_ns)

    def in_doubt(self, now_ns: int) -> bool:
        """Whether the witness's word is needed: no view yet, or a member that does not confirm us."""
        if self.view is None:
            return True
        others = self.view.ids - {self.node}
        return any(now_ns - self.evidence.peers[node].confirmed_ns > self.settings.stale_ns for node in others)

    # -- the one way in ------------------------------------------------------------------------------------------------

    def step(self, now_ns: int, event: Event) -> list[Action]:
        """Takes one event and returns what must be done, in this order.

        A node whose own loop was late first reads all that has arrived and judges only at the Tick that follows.
        """
        self._out = []
        match event:
            case Tick():
                self._tick(now_ns)
            case Received(heartbeat):
                self._receive(now_ns, heartbeat)
            case Flows(epoch, present):
                if epoch == self.installed:
                    self.flows = present
            case WitnessAnswered(sent_ns):
                self._witness_ns = max(self._witness_ns, sent_ns)
            case Command(node, drained, weight):
                self._command(node, drained, weight)
            case Leave(deadline_ns):
                self._leave_deadline_ns = deadline_ns
        if now_ns - self._ticked_ns <= self.settings.stale_ns:
            self._advance(now_ns)
            self._speak(now_ns, due=isinstance(event, Tick))
        if self._stopped:
            self._out.append(Stop())
        return self._out

    def _tick(self, now_ns: int) -> None:
        elapsed_ns = now_ns - self._ticked_ns
        self._ticked_ns = now_ns
        if elapsed_ns > self.settings.stale_ns:
            self.evidence.forgive(elapsed_ns - self.settings.heartbeat_ns, now_ns)
        if self.view is not None and elapsed_ns > self.settings.excluded_ns:
            self._rejoin(f"this node stood still for {elapsed_ns // 1_000_000} ms")
        self._note_silences(now_ns)

    def _receive(self, now_ns: int, heartbeat: Heartbeat) -> None:
        if not self.evidence.accept(now_ns, heartbeat):
            return
        for order in heartbeat.state.orders:
            self._merge(order)
        self._note_silences(now_ns)

    def _note_silences(self, now_ns: int) -> None:
        suspects = self.evidence.suspects(now_ns)
        for node in sorted(suspects - self._known_suspects):
            self._note(f"node {node} is silent")
        for node in sorted(self._known_suspects - suspects):
            self._note(f"node {node} is heard")
        self._known_suspects = suspects

    # -- orders --------------------------------------------------------------------------------------------------------

    def _command(self, node: int, drained: bool | None, weight: int | None) -> None:
        counter = max((order.stamp[0] for order in self.orders.values()), default=0) + 1
        old = self.orders.get(node, Order(node, (0, 0), False, None))
        new = replace(old, stamp=(counter, self.node))
        if drained is not None:
            new = replace(new, drained=drained)
        if weight is not None:
            new = replace(new, weight=weight)
        self._merge(new)

    def _merge(self, order: Order) -> None:
        known = self.orders.get(order.node)
        if order.node in self.settings.nodes and (known is None or order.stamp > known.stamp):
            self.orders[order.node] = order

    def _drained(self, node: int) -> bool:
        order = self.orders.get(node)
        return order is not None and order.drained

    def _member(self, node: int, weight: int, *, leaving: bool) -> Member:
        """A node as the next view shall count it."""
        order = self.orders.get(node)
        ordered = weight if order is None or order.weight is None else order.weight
        return Member(node, ordered, self._drained(node) or leaving)

    # -- from promise to view ------------------------------------------------------------------------------------------

    def _advance(self, now_ns: int) -> None:
        """Goes as far as what is known allows."""
        self._check_exclusion(now_ns)
        for peer in self.evidence.live(now_ns):
            if peer.state is not None and peer.state.proposal is not None:
                self._consider(now_ns, peer.state.proposal)
        self._coordinate(now_ns)
        self._open(now_ns)
        self._coordinate(now_ns)
        self._go_on_leaving(now_ns)

    def _check_exclusion(self, now_ns: int) -> None:
        if self.view is None:
            return
        for peer in self.evidence.live(now_ns):
            state = peer.state
            if (
                state is not None
                and coordination.in_force(peer)
                and state.installed > self.installed
                and self.node not in state.members
            ):
                self._rejoin(f"node {peer.id} follows view {state.installed} without this node")
                return
        if self._cap(now_ns) <= now_ns:
            self._rejoin("others may have stopped hearing this node")

    def _cap(self, now_ns: int) -> int:
        members = self.view.ids if self.view is not None else frozenset[int]()
        return lease.cap(self.settings, self.evidence, members, self._witness_ns, now_ns)

    def _consider(self, now_ns: int, proposal: Proposal) -> None:
        view = proposal.view
        if not proposal.committed and view.epoch > self.promised and self._may_promise(now_ns, view):
            self.promised, self._losers = view.epoch, None
            self.promise = view if self.node in view.ids else None
            self.holds = buckets.holds(self.table, view, self.node, same_hash=self._same_hash(view))
        if proposal.committed and view == self.promise and self._losers is None:
            self._losers = proposal.losers
            self._release(view)

    def _may_promise(self, now_ns: int, view: View) -> bool:
        """Whether this node can vouch that nobody outside the view answers."""
        if self.node not in view.ids:
            return self.view is None
        return self._admissible(now_ns, view) and all(
            peer.state is not None and peer.state.promised >= view.epoch
            for peer in self._outside(view)
            if not peer.silent(now_ns, self.settings.suspect_ns)
        )

    def _admissible(self, now_ns: int, view: View) -> bool:
        """Whether this node could promise the view once the bystanders have."""
        if view.hash_key_id not in self.settings.hash_key_ids:
            return False
        outside = self._outside(view)
        for peer in outside:
            bystander = peer.live(now_ns, self.settings.suspect_ns) and coordination.holds_nothing(peer)
            if not bystander and not peer.silent(now_ns, self.settings.suspect_ns):
                return False
        if self.settings.quorum == "majority" and len(view.members) < self.settings.majority:
            return False
        return not self.settings.witness or self._witness_vouches(outside, now_ns)

    def _outside(self, view: View) -> list[Peer]:
        return [self.evidence.peers[node] for node in sorted(self.settings.nodes - view.ids)]

    def _witness_vouches(self, outside: list[Peer], now_ns: int) -> bool:
        """Leaving out a silent node for the first time takes the witness's answer: it may be us who are cut off."""
        silent = {peer.id for peer in outside if peer.silent(now_ns, self.settings.suspect_ns)}
        newly = silent if self.view is None else silent & self.view.ids
        return not newly or now_ns - self._witness_ns <= self.settings.suspect_ns

    def _same_hash(self, view: View) -> bool:
        return view.hash_key_id == self.hash_key_id

    def _release(self, view: View) -> None:
        self.released = view.epoch
        if self.holds:
            self.table = buckets.release(self.table, view, self.node, same_hash=self._same_hash(view))
            self._out.append(Install(self.table, self.hash_key_id, view.epoch, final=False))

    def _open(self, now_ns: int) -> None:
        view = self.promise
        if view is None or self._losers is None:
            return
        if not all(self._has_released(loser, view.epoch) for loser in self._losers - {self.node}):
            return
        self.table = buckets.states(view, self.node)
        self.hash_key_id = view.hash_key_id
        self.view, self.installed, self.installed_ns = view, view.epoch, now_ns
        self.promise, self._losers, self.holds = None, None, False
        self.flows = view.moving != 0
        self._out.append(Install(self.table, self.hash_key_id, view.epoch, final=True))
        owned = view.owners.count(self.node)
        members = " ".join(str(member.id) for member in view.members)
        self._note(f"view installed: members {members}; {owned} buckets here, {view.moving.bit_count()} moving")

    def _has_released(self, node: int, epoch: Epoch) -> bool:
        state = self.evidence.peers[node].state
        return state is not None and state.released == epoch

    def _rejoin(self, reason: str) -> None:
        """Closes everything at once and starts again as a node that holds nothing."""
        self._note(f"fenced: {reason}; joining again")
        self._close()

    def _close(self) -> None:
        self.flows = self.flows or self.view is not None
        self.view, self.promise, self._losers, self.proposal = None, None, None, None
        self.holds = False
        self.table = buckets.CLOSED
        self.lease_until_ns = 0
        self._out.append(Lease(0))
        self._out.append(Install(self.table, self.hash_key_id, max(self.installed, self.released), final=True))

    # -- coordinating --------------------------------------------------------------------------------------------------

    def _coordinate(self, now_ns: int) -> None:
        own = self.status
        self._finish(now_ns)
        if self.left or coordination.coordinator(self.settings, self.evidence, own, now_ns) != self.node:
            if self.proposal is not None and not self.proposal.committed:
                self.proposal = None
            return
        self._draw_up(now_ns)
        if self.proposal is not None:
            self._consider(now_ns, self.proposal)
            self._commit_if_promised()
            self._consider(now_ns, self.proposal)

    def _finish(self, now_ns: int) -> None:
        """Ends a committed proposal once every member has it in force, or a newer view is on its way."""
        proposal = self.proposal
        if proposal is None or not proposal.committed:
            return
        if self.promised > proposal.view.epoch or (self.view == proposal.view and not self._stragglers(now_ns)):
            self.proposal = None

    def _stragglers(self, now_ns: int) -> bool:
        """Whether a member has not followed into the view in force here."""
        assert self.view is not None
        peers = [self.evidence.peers[node] for node in self.view.ids - {self.node}]
        return any(peer.state is None or peer.state.installed != self.installed for peer in peers)

    def _draw_up(self, now_ns: int) -> None:
        base = self._base()
        chosen = coordination.agreed(
            self.settings, self.evidence, coordination.eligible(base, self.evidence, now_ns), now_ns
        )
        if chosen is None:
            return
        view = coordination.next_view(self._next_epoch(), self._situation(base, chosen, now_ns))
        waiting = any(not coordination.in_force(peer) for peer in chosen)
        unfinished = self.proposal is None and (waiting or self.promise is not None or self._abandoned(now_ns))
        current = self.proposal.view if self.proposal is not None else self.view
        if current is not None and view.same_agreement(current) and not unfinished and not self._overtaken(current):
            return
        if self._admissible(now_ns, view):
            self.proposal = Proposal(view, False, frozenset())
            self._proposed = view.epoch

    def _abandoned(self, now_ns: int) -> bool:
        """Whether the coordinator of the view in force is gone before every member had it in force."""
        in_force_ns = now_ns - self.installed_ns
        return self.view is not None and in_force_ns > self.settings.stale_ns and self._stragglers(now_ns)

    def _base(self) -> View | None:
        """The newest view that may be in force somewhere. One of our own that we never committed is not."""
        promise = self.promise
        if promise is not None and promise.epoch.coordinator == self.node and self._losers is None:
            promise = None
        return promise or self.view

    def _overtaken(self, view: View) -> bool:
        """Whether a newer view than this has been promised by a node that must promise ours."""
        newer = self.promised > view.epoch
        return newer or any(
            peer.state is not None and peer.state.promised > view.epoch and peer.id in view.ids
            for peer in self.evidence.peers.values()
        )

    def _situation(self, base: View | None, chosen: list[Peer], now_ns: int) -> coordination.Situation:
        own = self._member(self.node, self.settings.weight, leaving=self.leaving)
        members = [own]
        newcomers_have_flows = self.view is None and self.flows
        quiet = not self.flows
        leaving = set()
        for peer in self.evidence.live(now_ns):
            if peer.state is not None and peer.state.status is Status.LEAVING:
                leaving.add(peer.id)
        for peer in chosen:
            assert peer.state is not None
            members.append(self._member(peer.id, peer.state.weight, leaving=peer.state.leaving))
            newcomers_have_flows |= peer.state.status is Status.JOINING and peer.state.flows
            quiet &= base is not None and peer.state.installed == base.epoch and not peer.state.flows
        key = self.settings.hash_key_ids[0]
        if base is not None and base.hash_key_id in self.settings.hash_key_ids:
            key = base.hash_key_id
        return coordination.Situation(
            base,
            tuple(sorted(members, key=lambda member: member.id)),
            frozenset(leaving),
            newcomers_have_flows,
            quiet,
            base is not None and base is self.view and now_ns - self.installed_ns >= self.settings.settle_ns,
            key,
        )

    def _next_epoch(self) -> Epoch:
        seen = [self.installed, self.promised, self._proposed]
        for peer in self.evidence.peers.values():
            if peer.state is not None:
                seen += [peer.state.installed, peer.state.promised]
        return Epoch(max(epoch.number for epoch in seen) + 1, self.node)

    def _commit_if_promised(self) -> None:
        proposal = self.proposal
        assert proposal is not None
        if proposal.committed or self.promised != proposal.view.epoch:
            return
        losers = {self.node} if self.holds else set()
        for node in proposal.view.ids - {self.node}:
            state = self.evidence.peers[node].state
            if state is None or state.promised != proposal.view.epoch:
                return
            if state.holds:
                losers.add(node)
        self.proposal = replace(proposal, committed=True, losers=frozenset(losers))

    # -- leaving -------------------------------------------------------------------------------------------------------

    def _go_on_leaving(self, now_ns: int) -> None:
        if self._leave_deadline_ns is None or self._stopped:
            return
        if not self.left:
            overdue = now_ns >= self._leave_deadline_ns
            if self.view is None or (self._gave_all_away() and not self.flows) or overdue:
                self._note("left")
                self._close()
                self.left = True
            return
        live = self.evidence.live(now_ns)
        if all(peer.state is None or self.node not in peer.state.members for peer in live) or (
            now_ns >= self._leave_deadline_ns + self.settings.suspect_ns
        ):
            self._stopped = True

    def _gave_all_away(self) -> bool:
        return self.promise is None and not any(state in buckets.OPEN for state in self.table)

    # -- speaking ------------------------------------------------------------------------------------------------------

    def _state(self, now_ns: int) -> NodeState:
        return NodeState(
            status=self.status,
            weight=self.settings.weight,
            leaving=self.leaving,
            fit=self.evidence.fit(now_ns),
            flows=self.flows,
            installed=self.installed,
            members=self.view.ids if self.view is not None else frozenset(),
            promised=self.promised,
            holds=self.holds,
            released=self.released,
            suspects=self.evidence.suspects(now_ns),
            orders=tuple(self.orders[node] for node in sorted(self.orders)),
            proposal=self.proposal,
        )

    def _speak(self, now_ns: int, *, due: bool) -> None:
        """Speaks when it is time or when there is something new to say, and renews the lease by it; in this order, so
        that a node stopped in between has the shorter lease."""
        state = self._state(now_ns)
        if due or state != self._spoken:
            self._spoken = state
            self._seq += 1
            self.evidence.sent.record(self._seq, now_ns)
            echoes = {peer.id: peer.echo() for peer in self.evidence.peers.values()}
            self._out.append(Broadcast(self._seq, state, echoes))
            if self.view is not None:
                self._renew(min(now_ns + self.settings.lease_ns, self._cap(now_ns)))
        elif self.view is not None and self._cap(now_ns) < self.lease_until_ns:
            self._renew(self._cap(now_ns))

    def _renew(self, until_ns: int) -> None:
        self.lease_until_ns = until_ns
        self._out.append(Lease(until_ns))

    def _note(self, text: str) -> None:
        self._out.append(Note(f"epoch={self.installed} {text}"))
