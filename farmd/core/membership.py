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

from farmd.core import buckets, coordination, lease
from farmd.core.coordinator import Coordinator
from farmd.core.events import (
    Action,
    Broadcast,
    Command,
    Event,
    Flows,
    Health,
    Heartbeat,
    Lease,
    Leave,
    NodeState,
    Note,
    Received,
    Status,
    Stop,
    Tick,
    TookOver,
    WitnessAnswered,
)
from farmd.core.evidence import Evidence
from farmd.core.follower import Follower
from farmd.core.news import News
from farmd.core.orders import Orders
from farmd.core.settings import MS, Settings
from farmd.core.standing import Standing
from farmd.core.view import View


class Membership:
    """The state of one node. `incarnation` names this run and must differ from every earlier one's; `flows` says
    whether flows of an earlier run may still live here; `ready`, whether it may own buckets before the first Health."""

    def __init__(
        self, settings: Settings, incarnation: int, now_ns: int, *, flows: bool = False, ready: bool = True
    ) -> None:
        self.settings = settings
        others = sorted(settings.nodes - {settings.node})
        self.evidence = Evidence[NodeState](others, incarnation, now_ns, settings.suspect_ns, settings.stale_ns)
        self.standing = Standing(settings.drain_ahead_ns, ready=ready)
        self.follower = Follower(settings, self.evidence, self.standing, now_ns, flows=flows)
        self.orders = Orders(settings.nodes)
        self.coordinator = Coordinator(settings, self.evidence, self.follower, self.orders, self.standing)
        self.lease_until_ns = 0
        self.left = False
        self._stopped = False
        self._seq = 0
        self._spoken: NodeState | None = None
        self._ticked_ns = now_ns
        self._news = News(settings)
        self._out: list[Action] = []

    # -- what others read ----------------------------------------------------------------------------------------------

    @property
    def node(self) -> int:
        return self.settings.node

    @property
    def view(self) -> View | None:
        """The view in force here; None while joining."""
        return self.follower.view

    @property
    def leaving(self) -> bool:
        """Whether this node is on its way out."""
        return self.standing.leaving

    @property
    def status(self) -> Status:
        """What this node says of itself."""
        if self.left:
            return Status.LEAVING
        if self.view is None:
            return Status.JOINING
        own, standing = self.view.member(self.node), self.standing
        rests = own is not None and own.draining
        return Status.DRAINING if rests or standing.drain_announced or not standing.ready else Status.UP

    @property
    def released(self) -> bool:
        """Whether no new flow comes here: nothing is open and no view is on its way. It stays so while not ready."""
        return self.follower.promise is None and not self._opens()

    @property
    def flows(self) -> bool:
        """Whether flows may live here in buckets that others own."""
        return self.follower.flows

    @property
    def everyone_fails(self) -> frozenset[str]:
        """The checks that this node and every other live member fail; none where no other member is live."""
        members = self.view.ids if self.view is not None else frozenset[int]()
        live = [self.evidence.peers[node] for node in members - {self.node} - self._news.silent]
        said = [frozenset(peer.state.failing) for peer in live if peer.state is not None]
        return frozenset(self.standing.failing).intersection(*said) if said else frozenset()

    @property
    def pending(self) -> bool:
        """Whether a view is on its way."""
        return self.follower.promise is not None or self.coordinator.proposal is not None

    @property
    def deadline_ns(self) -> int:
        """When the next Tick is due: to speak, to notice a silence, or to begin an announced drain."""
        interval_ns = self.settings.urgent_ns if self.pending else self.settings.heartbeat_ns
        moments = [peer.heard_ns + self.settings.suspect_ns for peer in self.evidence.peers.values()]
        if self.standing.drains_at_ns is not None:
            moments.append(self.standing.drains_at_ns)
        return min([self._ticked_ns + interval_ns, *(at for at in moments if at > self._ticked_ns)])

    def converged(self) -> bool:
        """Whether every member has the view in force that is in force here, and no other is on its way."""
        return self.view is not None and not self.pending and not self.follower.stragglers()

    def in_doubt(self, now_ns: int) -> bool:
        """Whether the witness's word may be needed: no view yet, or a member that does not confirm us."""
        if self.view is None:
            return True
        others = [self.evidence.peers[node] for node in self.view.ids - {self.node}]
        return any(now_ns - peer.confirmed_ns > self.settings.stale_ns for peer in others)

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
                if epoch == self.follower.installed:
                    self.follower.flows = present
            case WitnessAnswered(sent_ns):
                self.follower.witness_answered(sent_ns)
            case Command():
                self.orders.give(self.node, event)
            case Health(ready, failing):
                self.standing.ready, self.standing.failing = ready, failing
            case Leave(deadline_ns):
                self.standing.leave_deadline_ns = deadline_ns
        self.standing.notice(now_ns, drained=self.orders.drained(self.node), serves=self.view is not None)
        if now_ns - self._ticked_ns <= self.settings.stale_ns:
            for text in self._news.since(now_ns, self.evidence, self.standing):
                self._note(text)
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
            self._rejoin(f"this node stood still for {elapsed_ns // MS} ms")

    def _receive(self, now_ns: int, heartbeat: Heartbeat) -> None:
        if self.evidence.accept(now_ns, heartbeat):
            for order in heartbeat.state.orders:
                self.orders.merge(order)

    # -- from proposal to view -----------------------------------------------------------------------------------------

    def _advance(self, now_ns: int) -> None:
        """Goes as far as what is known allows."""
        self._check_exclusion(now_ns)
        for peer in self.evidence.live(now_ns):
            if peer.state is not None and peer.state.proposal is not None:
                self._out += self.follower.consider(now_ns, peer.state.proposal)
        self._coordinate(now_ns)
        if self._open(now_ns):
            self._coordinate(now_ns)
        self._go_on_leaving(now_ns)

    def _check_exclusion(self, now_ns: int) -> None:
        if self.view is None:
            return
        for peer in self.evidence.live(now_ns):
            state = peer.state
            if state is None or not coordination.in_force(peer) or state.installed <= self.follower.installed:
                continue
            # A view may count on an earlier run of this node. What this run is to follow it has promised.
            if self.node not in state.members or state.installed > self.follower.promised:
                name = self.settings.name_of(peer.id)
                self._rejoin(f"node {name} follows view {state.installed} without this node")
                return
        if self._cap(now_ns) <= now_ns:
            self._rejoin("others may have stopped hearing this node")

    def _cap(self, now_ns: int) -> int:
        members = self.view.ids if self.view is not None else frozenset[int]()
        return lease.cap(self.settings, self.evidence, members, self.follower.witness_ns, now_ns)

    def _coordinate(self, now_ns: int) -> None:
        who = coordination.coordinator(self.settings, self.evidence, self.status, now_ns)
        self.coordinator.step(now_ns, coordinates=who == self.node)
        if self.coordinator.proposal is not None:
            self._out += self.follower.consider(now_ns, self.coordinator.proposal)
            self.coordinator.commit_if_promised(now_ns)
            self._out += self.follower.consider(now_ns, self.coordinator.proposal)

    def _open(self, now_ns: int) -> bool:
        before = self.view
        opened = self.follower.open(now_ns)
        self._out += opened
        if opened and self.view is not None:
            owned = self.view.owners.count(self.node)
            members = " ".join(self.settings.name_of(member.id) for member in self.view.members)
            moving = self.view.moving.bit_count()
            self._note(f"view installed: members {members}; {owned} buckets here, {moving} moving")
            self._note_takeover(now_ns, before, self.view)
        return bool(opened)

    def _note_takeover(self, now_ns: int, before: View | None, view: View) -> None:
        nodes = coordination.taken_from(before, view, self.node) if before is not None else frozenset[int]()
        if nodes:
            heard_ns = min(self.evidence.peers[node].heard_ns for node in nodes)
            self._out.append(TookOver(nodes, now_ns - heard_ns))

    def _rejoin(self, reason: str) -> None:
        """Closes everything at once and starts again as a node that holds nothing."""
        self._note(f"fenced: {reason}; joining again")
        self._close()

    def _close(self) -> None:
        self.coordinator.proposal = None
        self.lease_until_ns = 0
        self._out += [Lease(0), *self.follower.close()]

    # -- leaving -------------------------------------------------------------------------------------------------------

    def _go_on_leaving(self, now_ns: int) -> None:
        deadline_ns = self.standing.leave_deadline_ns
        if deadline_ns is None or self._stopped:
            return
        # The deadline ends the wait for flows. Giving the buckets away, which takes milliseconds, has a time of its
        # own: whoever closed before others are open would shut new clients out.
        late_ns = now_ns - deadline_ns
        if self.left:
            self._stopped = late_ns >= 2 * self.settings.suspect_ns or not self._counted_on(now_ns)
        elif (
            self.view is None
            or (self._given_away() and (late_ns >= 0 or not self.follower.flows))
            or late_ns >= self.settings.suspect_ns
        ):
            self._note("left")
            self._close()
            self.left = True

    def _given_away(self) -> bool:
        """Whether others have all buckets. A coordinator stays until they know it."""
        return not self.pending and not self._opens()

    def _opens(self) -> bool:
        """Whether any bucket takes new flows here."""
        return any(state in buckets.OPEN for state in self.follower.table)

    def _counted_on(self, now_ns: int) -> bool:
        """Whether somebody's view still has this node as a member."""
        live = self.evidence.live(now_ns)
        return any(peer.state is not None and self.node in peer.state.members for peer in live)

    # -- speaking ------------------------------------------------------------------------------------------------------

    def _state(self, now_ns: int) -> NodeState:
        follower = self.follower
        return NodeState(
            status=self.status,
            weight=self.settings.weight,
            ready=self.standing.ready,
            failing=self.standing.failing,
            draining=self.standing.draining(now_ns),
            fit=self.evidence.fit(now_ns),
            flows=follower.flows,
            installed=follower.installed,
            members=self.view.ids if self.view is not None else frozenset(),
            promised=follower.promised,
            holds=follower.holds,
            released=follower.released,
            dispensable=coordination.dispensable(self.evidence, now_ns),
            orders=self.orders.all(),
            proposal=self.coordinator.proposal,
        )

    def _speak(self, now_ns: int, *, due: bool) -> None:
        """Speaks when it is time or when there is something new to say, and renews the lease by it; in this order, so
        that a node stopped in between has the shorter lease."""
        state = self._state(now_ns)
        if due or state != self._spoken:
            self._spoken = state
            self._seq += 1
            self.evidence.sent.record(self._seq, now_ns)
            self._out.append(Broadcast(self._seq, state, self.evidence.echoes(now_ns)))
            if self.view is not None:
                self._renew(min(now_ns + self.settings.lease_ns, self._cap(now_ns)))
        elif self.view is not None and self._cap(now_ns) < self.lease_until_ns:
            self._renew(self._cap(now_ns))

    def _renew(self, until_ns: int) -> None:
        self.lease_until_ns = until_ns
        self._out.append(Lease(until_ns))

    def _note(self, text: str) -> None:
        self._out.append(Note(self.follower.installed, text))
