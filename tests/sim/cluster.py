"""A farm of cores on a simulated network: every run is a pure function of its seed and its faults.

Only the core is real here. Clocks, network, sockets, witness and filters are modelled: a filter is a table and a lease,
and goes on by itself while the daemon above it is frozen.
"""

from __future__ import annotations

from collections.abc import Callable

from farmd.core import buckets
from farmd.core.events import (
    Action,
    Broadcast,
    Event,
    Flows,
    Health,
    Heartbeat,
    Install,
    Lease,
    Leave,
    Note,
    Received,
    Stop,
    Tick,
    TookOver,
    WitnessAnswered,
)
from farmd.core.membership import Membership
from farmd.core.settings import MS, Settings
from farmd.core.view import BUCKETS, Epoch
from tests.sim.faults import Faults
from tests.sim.node import HEALTHY, Node, mask
from tests.sim.timeline import Timeline

SOCKET_MESSAGES = 200
"""What a socket holds for a frozen daemon; later messages are lost, as in the kernel."""
FLOWS_INTERVAL_NS = 50 * MS
"""How often a daemon looks for flows in buckets that were given away."""
FIRST_PROBE_MS_MAX = 200
"""How long after its start a daemon that supervises something knows whether it may own buckets."""
HANDOVER_LEASE_NS = 10_000 * MS
"""How long a filter goes on passing old flows while its daemon replaces itself."""


class Cluster(Timeline[Node]):
    """The farm under test."""

    def __init__(self, size: int, seed: int, faults: Faults | None = None, **settings: object) -> None:
        super().__init__(seed, look_every_ms=5)
        faults = faults or Faults()
        self.faults = faults
        self.settings = settings
        drift = faults.drift
        self.nodes = {n: Node(n, 1 + self.random.uniform(-drift, drift)) for n in range(1, size + 1)}
        self.broken: set[tuple[int, int]] = set()
        """Directions (from, to) in which nothing arrives."""
        self.blind: set[int] = set()
        """Nodes that the witness does not hear."""
        self.flows_elsewhere: Callable[[Node], bool] = lambda node: False
        """Whether a node still has flows in buckets that are not open there."""
        self.incarnations = 0
        self.log: list[str] = []

    def local(self, node: Node) -> int:
        """The node's own clock."""
        return int(self.now * node.rate) + node.id * 10**12

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def start(self, *ids: int) -> None:
        """Starts the nodes given, or all."""
        for id in ids or tuple(self.nodes):
            if self.nodes[id].core is None:
                self._set_filter(self.nodes[id], buckets.CLOSED, 0)
                self._boot(self.nodes[id], flows=False)

    def _boot(self, node: Node, *, flows: bool) -> None:
        self.incarnations += 1
        names = {id: f"n{id}" for id in self.nodes}
        settings = Settings(node.id, 100, frozenset(self.nodes), names=names, **self.settings)  # type: ignore[arg-type]
        node.generation += 1
        node.inbox.clear()
        node.epochs.clear()
        node.heard_ns.clear()
        node.frozen_until = 0
        supervised = self.faults.health > 0 or node.health != HEALTHY
        node.core = Membership(settings, self.incarnations, self.local(node), flows=flows, ready=not supervised)
        self._schedule_tick(node)
        if supervised:
            probed_ns, generation = self.now + int(self.random.uniform(0, FIRST_PROBE_MS_MAX) * MS), node.generation
            self.at(probed_ns, lambda: self._report_health(node) if self._runs(node, generation) else None)

    def kill(self, id: int) -> None:
        """Power off."""
        self._halt(self.nodes[id])
        self._set_filter(self.nodes[id], buckets.CLOSED, 0)

    def _halt(self, node: Node) -> None:
        node.core = None
        node.generation += 1
        node.inbox.clear()
        node.heard_ns.clear()
        node.witnessed_ns = -(1 << 62)

    def hand_over(self, id: int) -> None:
        """SIGHUP: the daemon leaves without waiting for flows and starts itself anew."""
        node = self.nodes[id]
        node.hands_over = True
        self.order(id, Leave(self.local(node)))

    def _replace(self, id: int) -> None:
        """What has left by itself starts anew; meanwhile its filter passes the flows that live here."""
        node = self.nodes[id]
        node.hands_over = False
        self._halt(node)
        self._set_filter(node, bytes([buckets.State.DRAINING]) * BUCKETS, self.local(node) + HANDOVER_LEASE_NS)
        self._boot(node, flows=True)

    def freeze(self, id: int, ms: float) -> None:
        """SIGSTOP: the daemon stands still, the kernel below it does not."""
        node = self.nodes[id]
        node.frozen_until = max(node.frozen_until, self.now + int(ms * MS))

    def cut(self, a: int, b: int, *, one_way: bool = False) -> None:
        self.broken.add((a, b))
        if not one_way:
            self.broken.add((b, a))

    def partition(self, side: set[int]) -> None:
        for a in self.nodes:
            for b in self.nodes:
                if (a in side) != (b in side):
                    self.broken.add((a, b))

    def fall_ill(self, id: int, *failing: str, ready: bool = True) -> None:
        """From now on exactly these checks of a node fail; whether it may own buckets is up to their reactions."""
        node = self.nodes[id]
        node.health = Health(ready, failing)
        self._report_health(node)

    def recover(self, id: int) -> None:
        self.fall_ill(id)

    def heal(self) -> None:
        self.broken.clear()
        self.blind.clear()

    def order(self, id: int, event: Event) -> None:
        """An operator's or the system's word to a daemon."""
        node = self.nodes[id]
        if node.core is not None and node.frozen_until <= self.now:
            self._step(node, event)

    def _report_health(self, node: Node) -> None:
        if node.frozen_until > self.now:
            self.at(node.frozen_until, lambda: self._report_health(node))
        else:
            self._step(node, node.health)

    # -- one daemon ----------------------------------------------------------------------------------------------------

    def _schedule_tick(self, node: Node) -> None:
        assert node.core is not None
        node.alarm += 1
        node.alarm_ns = node.core.deadline_ns
        wait = max(0, node.alarm_ns - self.local(node)) / node.rate
        late = self.random.uniform(0, self.faults.jitter_ms_max) * MS
        alarm = node.alarm
        self.at(self.now + int(wait + late), lambda: self._wake(node, alarm))

    def _wake(self, node: Node, alarm: int) -> None:
        if node.core is None or node.alarm != alarm:
            return
        if node.frozen_until > self.now:
            self.at(node.frozen_until, lambda: self._wake(node, alarm))
            return
        generation = node.generation
        waiting, node.inbox = node.inbox, []
        for event in waiting:
            self._step(node, event)
        if self._runs(node, generation):
            self._step(node, Tick())
        if self._runs(node, generation):
            self._probe_witness(node)
            self._schedule_tick(node)

    def _runs(self, node: Node, generation: int) -> bool:
        return node.core is not None and node.generation == generation

    def _step(self, node: Node, event: Event) -> None:
        self.touched = node
        if node.core is None:
            return
        now_ns = self.local(node)
        actions = node.core.step(now_ns, event)
        if isinstance(event, Received) and node.core.evidence.peers[event.heartbeat.sender].heard_ns == now_ns:
            node.heard_ns[event.heartbeat.sender] = self.now
        for action in actions:
            self._execute(node, action)
        if node.core is not None and node.core.deadline_ns < node.alarm_ns:
            self._schedule_tick(node)

    def _execute(self, node: Node, action: Action) -> None:
        match action:
            case Broadcast():
                self._send(node, action)
            case Lease(until_ns):
                self._set_filter(node, node.table, until_ns)
            case Install(states, _, epoch):
                self._set_filter(node, states, node.lease_until)
                node.epochs.append((epoch.number, epoch.coordinator))
                assert node.core is not None
                self._look_for_flows_later(node, node.generation, node.core.follower.installed)
            case Note(epoch, text):
                self.log.append(f"{self.now / MS:10.1f} n{node.id} epoch={epoch} {text}")
            case TookOver():
                pass
            case Stop():
                (self._replace if node.hands_over else self.kill)(node.id)

    def _look_for_flows_later(self, node: Node, generation: int, epoch: Epoch) -> None:
        if node.core is not None and node.core.view is not None and node.core.follower.flows:
            self.at(self.now + FLOWS_INTERVAL_NS, lambda: self._look_for_flows(node, generation, epoch))

    def _look_for_flows(self, node: Node, generation: int, epoch: Epoch) -> None:
        if not self._runs(node, generation) or node.core is None or node.core.follower.installed != epoch:
            return
        if node.frozen_until <= self.now:
            self._step(node, Flows(epoch, self.flows_elsewhere(node)))
        self._look_for_flows_later(node, generation, epoch)

    def _set_filter(self, node: Node, table: bytes, lease_until: int) -> None:
        self.touched = node
        if table is not node.table:
            node.table = table
            node.open_mask = mask(table, buckets.OPEN)
        node.lease_until = lease_until

    def open_now(self, node: Node) -> int:
        """The buckets that the node's filter lets new flows into, as bits."""
        return node.open_mask if self.answers(node) else 0

    def answers(self, node: Node) -> bool:
        """Whether the node's filter has its lease."""
        return node.lease_until > self.local(node)

    # -- network -------------------------------------------------------------------------------------------------------

    def _send(self, node: Node, broadcast: Broadcast) -> None:
        assert node.core is not None
        for peer, echo in broadcast.echoes.items():
            heartbeat = Heartbeat(node.id, node.core.evidence.incarnation, broadcast.seq, echo, broadcast.state)
            copies = 2 if self.random.random() < self.faults.duplication else 1
            for _ in range(copies):
                if (node.id, peer) not in self.broken and self.random.random() >= self.faults.loss:
                    self._deliver_later(self.nodes[peer], heartbeat)
            if self.faults.replays and self.random.random() < self.faults.replays:
                self._replay_later(self.nodes[peer], heartbeat)

    def _deliver_later(self, to: Node, heartbeat: Heartbeat) -> None:
        self.at(self.now + self.faults.delay_ns(self.random), lambda: self._deliver(to, heartbeat))

    def _replay_later(self, to: Node, heartbeat: Heartbeat) -> None:
        self.at(self.moment(1, 3000), lambda: self._hand_in(to, Received(heartbeat)))

    def _deliver(self, to: Node, heartbeat: Heartbeat) -> None:
        if (heartbeat.sender, to.id) not in self.broken:
            self._hand_in(to, Received(heartbeat))

    def _hand_in(self, to: Node, event: Event) -> None:
        """To the daemon, or into its socket's buffer while it is frozen."""
        if to.core is None:
            return
        if to.frozen_until > self.now:
            if len(to.inbox) < SOCKET_MESSAGES:
                to.inbox.append(event)
            return
        self._step(to, event)

    def _probe_witness(self, node: Node) -> None:
        assert node.core is not None
        if not node.core.settings.witness or not node.core.in_doubt(self.local(node)):
            return
        if node.id not in self.blind and self.random.random() >= self.faults.loss:
            sent_ns, answer, generation = self.now, WitnessAnswered(self.local(node)), node.generation
            answered_ns = sent_ns + self.faults.delay_ns(self.random)
            self.at(answered_ns, lambda: self._hear_witness(node, generation, sent_ns, answer))

    def _hear_witness(self, node: Node, generation: int, sent_ns: int, answer: WitnessAnswered) -> None:
        if self._runs(node, generation) and node.id not in self.blind:
            node.witnessed_ns = max(node.witnessed_ns, sent_ns)
            self._hand_in(node, answer)
