"""A farm of cores on a simulated network: every run is a pure function of its seed and its faults.

Only the core is real here. Clocks, network, sockets and filters are modelled: a filter is a table and a lease, and goes
on by itself while the daemon above it is frozen.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from farmd.core import buckets
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
    Note,
    Received,
    Stop,
    Tick,
)
from farmd.core.membership import Membership
from farmd.core.settings import MS, Settings

SOCKET_MESSAGES = 200
"""What a socket holds for a frozen daemon; later messages are lost, as in the kernel."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What may go wrong, as probabilities for each message or as rates for each simulated second."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_ms_max: float = 2.0
    slow_delivery: float = 0.0
    """Probability of a delay of up to 300 ms (reorders, too)."""
    jitter_ms_max: float = 3.0
    """How late a daemon wakes up."""
    drift: float = 0.0
    """How far a clock may run fast or slow, as a fraction."""
    one_way_cuts: float = 0.0
    partitions: float = 0.0
    freezes: float = 0.0
    crashes: float = 0.0
    planned: float = 0.0
    """Drains, changes of weight, planned stops."""


@dataclass
class Node:
    """A machine: a core that may be absent or frozen, and the filter below it."""

    id: int
    rate: float
    core: Membership | None = None
    frozen_until: int = 0
    inbox: list[Heartbeat] = field(default_factory=list)
    open_mask: int = 0
    table: bytes = buckets.CLOSED
    lease_until: int = 0
    """In the node's own clock, as the daemon writes it."""
    generation: int = 0
    epochs: list[tuple[int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Cluster:
    """The farm under test. `check` is called after every step."""

    def __init__(self, size: int, seed: int, faults: Faults, **settings: object) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.now = 0
        self.settings = settings
        drift = faults.drift
        self.nodes = {n: Node(n, 1 + self.random.uniform(-drift, drift)) for n in range(1, size + 1)}
        self.broken: set[tuple[int, int]] = set()
        """Directions (from, to) in which nothing arrives."""
        self.checks: list[Callable[[Cluster], None]] = []
        self.incarnations = 0
        self.whole_at = 0
        """When torment ends; no freeze lasts longer."""
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self.log: list[str] = []

    # -- time ----------------------------------------------------------------------------------------------------------

    def at(self, when: int, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (max(when, self.now), self._order, what))

    def run(self, until: int) -> None:
        """Lets the farm run until the given time (ns)."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, what = heapq.heappop(self._queue)
            what()
            for check in self.checks:
                check(self)
        self.now = until

    def run_for(self, ms: float) -> None:
        self.run(self.now + int(ms * MS))

    def step_until(self, condition: Callable[[], bool], limit_ms: float) -> bool:
        """Runs until the condition holds; False if it does not within the limit."""
        limit = self.now + int(limit_ms * MS)
        while not condition():
            if self.now >= limit:
                return False
            self.run(min(limit, self.now + 5 * MS))
        return True

    def local(self, node: Node) -> int:
        """The node's own clock."""
        return int(self.now * node.rate) + node.id * 10**12

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def start(self, *ids: int) -> None:
        for id in ids or tuple(self.nodes):
            self._boot(self.nodes[id])

    def _boot(self, node: Node) -> None:
        self.incarnations += 1
        settings = Settings(node=node.id, weight=100, nodes=frozenset(self.nodes), **self.settings)  # type: ignore[arg-type]
        node.generation += 1
        node.inbox.clear()
        node.frozen_until = 0
        node.core = Membership(settings, self.incarnations, self.local(node))
        self._set_filter(node, buckets.CLOSED, 0)
        self._schedule_tick(node)

    def kill(self, id: int) -> None:
        """Power off."""
        node = self.nodes[id]
        node.core = None
        node.generation += 1
        node.inbox.clear()
        self._set_filter(node, buckets.CLOSED, 0)

    def freeze(self, id: int, ms: float) -> None:
        """SIGSTOP: the daemon stands still, the kernel below it does not."""
        until = min(self.now + int(ms * MS), self.whole_at or self.now + int(ms * MS))
        self.nodes[id].frozen_until = max(self.nodes[id].frozen_until, until)

    def cut(self, a: int, b: int, *, one_way: bool = False) -> None:
        self.broken.add((a, b))
        if not one_way:
            self.broken.add((b, a))

    def partition(self, side: set[int]) -> None:
        for a in self.nodes:
            for b in self.nodes:
                if (a in side) != (b in side):
                    self.broken.add((a, b))

    def heal(self) -> None:
        self.broken.clear()

    def order(self, id: int, event: Event) -> None:
        """An operator's or the system's word to a daemon."""
        node = self.nodes[id]
        if node.core is not None and node.frozen_until <= self.now:
            self._step(node, event)

    # -- one daemon ----------------------------------------------------------------------------------------------------

    def _schedule_tick(self, node: Node) -> None:
        assert node.core is not None
        wait = max(0, node.core.deadline_ns - self.local(node)) / node.rate
        late = self.random.uniform(0, self.faults.jitter_ms_max) * MS
        generation = node.generation
        self.at(self.now + int(wait + late), lambda: self._wake(node, generation))

    def _wake(self, node: Node, generation: int) -> None:
        if node.core is None or node.generation != generation:
            return
        if node.frozen_until > self.now:
            self.at(node.frozen_until, lambda: self._wake(node, generation))
            return
        waiting, node.inbox = node.inbox, []
        for heartbeat in waiting:
            self._step(node, Received(heartbeat))
        if node.core is not None and node.generation == generation:
            self._step(node, Tick())
        if node.core is not None and node.generation == generation:
            self._schedule_tick(node)

    def _step(self, node: Node, event: Event) -> None:
        if node.core is not None:
            for action in node.core.step(self.local(node), event):
                self._execute(node, action)

    def _execute(self, node: Node, action: Action) -> None:
        match action:
            case Broadcast():
                self._send(node, action)
            case Lease(until_ns):
                self._set_filter(node, node.table, until_ns)
            case Install(states, _, epoch):
                self._set_filter(node, states, node.lease_until)
                node.epochs.append((epoch.number, epoch.coordinator))
                if node.core is not None and node.core.follower.flows:
                    installed, generation = node.core.follower.installed, node.generation
                    self.at(self.now + 50 * MS, lambda: self._report_no_flows(node, generation, installed))
            case Note(text):
                self.log.append(f"{self.now / MS:10.1f} n{node.id} {text}")
            case Stop():
                self.kill(node.id)

    def _report_no_flows(self, node: Node, generation: int, epoch: object) -> None:
        if node.generation == generation and node.core is not None and node.core.follower.installed == epoch:
            self._step(node, Flows(node.core.follower.installed, present=False))

    def _set_filter(self, node: Node, table: bytes, lease_until: int) -> None:
        if table is not node.table:
            node.table = table
            node.open_mask = mask(table, buckets.OPEN)
        node.lease_until = lease_until

    def open_now(self, node: Node) -> int:
        """The buckets that the node's filter lets new flows into, as bits."""
        return node.open_mask if node.lease_until > self.local(node) else 0

    # -- network -------------------------------------------------------------------------------------------------------

    def _send(self, node: Node, broadcast: Broadcast) -> None:
        assert node.core is not None
        for peer, echo in broadcast.echoes.items():
            heartbeat = Heartbeat(node.id, node.core.evidence.incarnation, broadcast.seq, echo, broadcast.state)
            copies = 2 if self.random.random() < self.faults.duplication else 1
            for _ in range(copies):
                if (node.id, peer) not in self.broken and self.random.random() >= self.faults.loss:
                    self._deliver_later(self.nodes[peer], heartbeat)

    def _deliver_later(self, to: Node, heartbeat: Heartbeat) -> None:
        slow = self.random.random() < self.faults.slow_delivery
        delay = self.random.uniform(0.05, 300 if slow else self.faults.delay_ms_max)
        self.at(self.now + int(delay * MS), lambda: self._deliver(to, heartbeat))

    def _deliver(self, to: Node, heartbeat: Heartbeat) -> None:
        if to.core is None or (heartbeat.sender, to.id) in self.broken:
            return
        if to.frozen_until > self.now:
            if len(to.inbox) < SOCKET_MESSAGES:
                to.inbox.append(heartbeat)
            return
        self._step(to, Received(heartbeat))

    # -- hostility -----------------------------------------------------------------------------------------------------

    def torment(self, until: int) -> None:
        """Schedules random faults until the given time, then makes everything whole again."""
        self.whole_at = until
        rates = {
            self._fault_cut: self.faults.one_way_cuts,
            self._fault_partition: self.faults.partitions,
            self._fault_freeze: self.faults.freezes,
            self._fault_crash: self.faults.crashes,
            self._fault_planned: self.faults.planned,
        }
        for fault, rate in rates.items():
            when = self.now
            while rate > 0:
                when += int(self.random.expovariate(rate) * 1000 * MS)
                if when >= until:
                    break
                self.at(when, fault)
        self.at(until, self._make_whole)

    def _some_node(self) -> int:
        return self.random.choice(sorted(self.nodes))

    def _fault_cut(self) -> None:
        a, b = self.random.sample(sorted(self.nodes), 2)
        self.cut(a, b, one_way=True)
        self.at(self.now + int(self.random.uniform(100, 3000) * MS), lambda: self.broken.discard((a, b)))

    def _fault_partition(self) -> None:
        side = {n for n in self.nodes if self.random.random() < 0.5}
        self.partition(side)
        self.at(self.now + int(self.random.uniform(100, 3000) * MS), self.heal)

    def _fault_freeze(self) -> None:
        self.freeze(self._some_node(), self.random.choice([60, 150, 250, 390, 420, 600, 3000]))

    def _fault_crash(self) -> None:
        id = self._some_node()
        self.kill(id)
        self.at(self.now + int(self.random.uniform(20, 2500) * MS), lambda: self._revive(id))

    def _revive(self, id: int) -> None:
        if self.nodes[id].core is None:
            self._boot(self.nodes[id])

    def _fault_planned(self) -> None:
        by, node = self._some_node(), self._some_node()
        what = self.random.choice(["drain", "undrain", "weight", "leave"])
        if what == "leave":
            core = self.nodes[node].core
            if core is not None:
                self.order(node, Leave(self.local(self.nodes[node]) + 500 * MS))
                self.at(self.now + int(self.random.uniform(700, 2000) * MS), lambda: self._revive(node))
        elif what == "weight":
            self.order(by, Command(node, weight=self.random.choice([10, 50, 100, 200])))
        else:
            self.order(by, Command(node, drained=what == "drain"))

    def _make_whole(self) -> None:
        self.heal()
        self.faults = Faults()
        for node in self.nodes.values():
            if node.core is None:
                self._boot(node)


def mask(table: bytes, states: frozenset[buckets.State]) -> int:
    """A bit for every bucket whose state is one of these."""
    flags = bytes(49 if state in states else 48 for state in reversed(table))
    return int(flags, 2)
