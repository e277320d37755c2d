"""A mirror of two cores on a simulated network: every run is a pure function of its seed and its faults.

Only the core is real here. Clocks, networks, disks, volumes, applications, addresses and the witness are modelled.
"""

from __future__ import annotations

from collections.abc import Callable

from farmd.core.settings import MS
from mirrord.core.events import (
    Action,
    AddressDown,
    AddressUp,
    ApplicationStopped,
    Broadcast,
    Command,
    Event,
    Finished,
    Forgo,
    Health,
    Heartbeat,
    Lease,
    Note,
    ProbeWitness,
    Promote,
    Received,
    ReplaceVolume,
    Reported,
    Start,
    StartApplication,
    StopApplication,
    Store,
    Stored,
    StoreRefused,
    Tick,
    TookOver,
    VolumeLost,
    WitnessAnswered,
)
from mirrord.core.generations import Condition, State
from mirrord.core.role import Core
from mirrord.core.settings import Settings
from mirrord.orders import Opened, Report
from tests.sim.mirror_faults import Faults
from tests.sim.mirror_node import NEVER, Node
from tests.sim.mirror_volume import Volume
from tests.sim.timeline import Timeline

SOCKET_MESSAGES = 200
"""What a socket holds for a frozen daemon; later messages are lost, as in the kernel."""
OPEN_MS = 5.0
RESTART_MS = 100.0
"""After which the daemon has replaced a volume that ended."""


class Mirror(Timeline[Node]):
    """The mirror under test."""

    def __init__(self, seed: int, faults: Faults | None = None, *, networks: int = 2, **settings: object) -> None:
        super().__init__(seed, look_every_ms=20)
        self.faults = faults or Faults()
        self.settings = settings
        self.networks = range(networks)
        self.nodes = {1: Node(1), 2: Node(2)}
        self.broken: set[tuple[int, int, int]] = set()
        """Directions (from, to, network) in which nothing arrives."""
        self.blind: set[int] = set()
        """Nodes that the witness does not hear."""
        self.acknowledged: dict[int, State] = {}
        """Writes that an application was told are done, and the state of the node that said so."""
        self.on_serve: Callable[[Node], None] = lambda node: None
        self.on_overwrite: Callable[[Node, Node, set[int]], None] = lambda node, leader, snapshot: None
        self.on_store: Callable[[Node, State], None] = lambda node, state: None
        """When a state is given to the disk."""
        self.on_refuse: Callable[[Node, State], None] = lambda node, state: None
        """When its disk has not taken a state."""
        self.on_apply: Callable[[Node], None] = lambda node: None
        self.on_count: Callable[[Node], None] = lambda node: None
        """When a node is counted on, and has yet to hear so."""
        self.ambush: Callable[[], None] = lambda: None
        self.write_ms = 60.0
        self.empty = True
        """Nobody has put files into the directories before the first start."""
        self._writes = 0
        self._incarnations = 0
        self.log: list[str] = []

    # -- time ----------------------------------------------------------------------------------------------------------

    def local(self, node: Node) -> int:
        """The node's own clock."""
        return self.now + node.id * 10**12

    def delay_ns(self) -> int:
        return self.faults.delay_ns(self.random)

    def work_ns(self) -> int:
        """How long an order, a store, or a start or stop takes."""
        slow = self.random.random() < self.faults.slow_work
        return int(self.random.uniform(0.2, 2000 if slow else 4) * MS)

    def resync_ns(self) -> int:
        slow = self.random.random() < 2 * self.faults.slow_work
        return int(self.random.uniform(5, 3000 if slow else 100) * MS)

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def other(self, node: Node) -> Node:
        return self.nodes[3 - node.id]

    def start(self, *ids: int) -> None:
        """Starts the daemons of the nodes given, or of both."""
        for id in ids or tuple(self.nodes):
            if self.nodes[id].core is None:
                self._boot(self.nodes[id])

    def _boot(self, node: Node) -> None:
        self._incarnations += 1
        settings = Settings(node.id, 3 - node.id, names={1: "n1", 2: "n2"}, **self.settings)  # type: ignore[arg-type]
        node.run += 1
        node.inbox.clear()
        node.frozen_until = node.volume_frozen_until = 0
        node.heard_ns = node.inbox_ns = node.witnessed_ns = NEVER
        node.awake_ns = self.now
        node.core = Core(settings, self._incarnations, node.state, self.local(node))
        self._open_volume(node)
        self._schedule_tick(node)

    def _open_volume(self, node: Node) -> None:
        node.volume = volume = Volume(self, node)
        opened = Opened(empty=self.empty and not node.data, unclean=False)
        volume.later(int(OPEN_MS * MS), lambda: volume.say(opened))

    def crash(self, id: int) -> None:
        """Kill -9 of the daemon: its volume fences itself, its application is killed."""
        self._halt(self.nodes[id], silently=False)

    def power_off(self, id: int) -> None:
        """Of what was not acknowledged, any part may be on the disk."""
        node = self.nodes[id]
        kept = {write for write in node.data if write in self.acknowledged or self.random.random() < 0.5}
        if not node.torn:
            node.data = kept
        self._halt(node, silently=True)

    def _halt(self, node: Node, *, silently: bool) -> None:
        node.core = None
        node.run += 1
        node.inbox.clear()
        node.address, node.application, node.forced = False, 0, False
        if node.volume is not None:
            node.volume.end(silently=silently)
            node.volume = None
        self.touched = node

    def freeze(self, id: int, ms: float, *, whole: bool = True) -> None:
        """SIGSTOP: of the daemon alone, or of the volume and the application, too."""
        node = self.nodes[id]
        node.frozen_since = self.now if node.frozen_until <= self.now else node.frozen_since
        node.frozen_until = max(node.frozen_until, self.now + int(ms * MS))
        if whole:
            node.volume_frozen_until = max(node.volume_frozen_until, node.frozen_until)

    def cut(self, a: int, b: int, *networks: int, one_way: bool = False) -> None:
        for network in networks or self.networks:
            self.broken.add((a, b, network))
            if not one_way:
                self.broken.add((b, a, network))

    def heal(self) -> None:
        self.broken.clear()
        self.blind.clear()

    def order(self, id: int, event: Event) -> str:
        """An operator's word to a daemon. Returns its objection."""
        node = self.nodes[id]
        if node.core is None or node.frozen_until > self.now:
            return "not there"
        objection = node.core.objection(self.local(node), event)
        if not objection:
            node.forced = node.forced or isinstance(event, Promote)
            if isinstance(event, Start):
                node.cannot_run = False
            self.step(node, event)
        return objection

    def lose_volume(self, node: Node, reason: str) -> None:
        """Its process ends; the daemon starts a new one."""
        if node.volume is None:
            return
        node.volume.end()
        node.volume = None
        run = node.run
        self._hand_in(node, VolumeLost(reason))
        self.at(self.now + int(RESTART_MS * MS), lambda: self._open_volume(node) if self._runs(node, run) else None)

    # -- one daemon ----------------------------------------------------------------------------------------------------

    def _runs(self, node: Node, run: int) -> bool:
        return node.core is not None and node.run == run

    def _schedule_tick(self, node: Node) -> None:
        assert node.core is not None
        node.alarm += 1
        node.alarm_ns = node.core.deadline_ns
        late = self.random.uniform(0, self.faults.jitter_ms_max) * MS
        alarm = node.alarm
        self.at(self.now + max(0, node.alarm_ns - self.local(node)) + int(late), lambda: self._wake(node, alarm))

    def _wake(self, node: Node, alarm: int) -> None:
        if node.core is None or node.alarm != alarm:
            return
        if node.frozen_until > self.now:
            self.at(node.frozen_until, lambda: self._wake(node, alarm))
            return
        if node.core.settings.excluded_ns < node.frozen_until - node.frozen_since and node.awake_ns < node.frozen_until:
            node.awake_ns = self.now
        run = node.run
        waiting, node.inbox = node.inbox, []
        for event in waiting:
            self.step(node, event)
        if self._runs(node, run):
            self.step(node, Tick())
        if self._runs(node, run):
            self._schedule_tick(node)

    def step(self, node: Node, event: Event) -> None:
        self.touched = node
        if node.core is None:
            return
        now_ns = self.local(node)
        actions = node.core.step(now_ns, event)
        for action in actions:
            self.execute(node, action)
        if node.core is not None and node.core.deadline_ns < node.alarm_ns:
            self._schedule_tick(node)

    def execute(self, node: Node, action: Action) -> None:
        match action:
            case Broadcast():
                self._send(node, action)
            case Lease(until_ns):
                node.lease_until = until_ns
            case AddressUp() | AddressDown():
                node.address = isinstance(action, AddressUp)
            case Command(order):
                if node.volume is not None:
                    node.volume.take(order)
            case ReplaceVolume(reason):
                run = node.run
                self.at(self.now + MS, lambda: self.lose_volume(node, reason) if self._runs(node, run) else None)
            case Store(state):
                self._store(node, state)
            case Forgo():
                node.stores += 1
            case StartApplication():
                self._start_application(node)
            case StopApplication(force):
                self._stop_application(node, force=force)
            case ProbeWitness():
                self._probe_witness(node)
            case Note(text):
                self.log.append(f"{self.now / MS:10.1f}  n{node.id}  {text}")
            case TookOver():
                pass
            case Finished():
                self._halt(node, silently=False)

    def _hand_in(self, to: Node, event: Event) -> None:
        """To the daemon, or into its sockets' buffers while it is frozen."""
        if to.core is None:
            return
        if to.frozen_until > self.now or to.inbox:
            if len(to.inbox) < SOCKET_MESSAGES or not isinstance(event, Received):
                to.inbox.append(event)
            return
        self.step(to, event)

    # -- disk, application, witness ------------------------------------------------------------------------------------

    def _store(self, node: Node, state: State) -> None:
        self.on_store(node, state)
        self._write_state(node, state)

    def _write_state(self, node: Node, state: State) -> None:
        """A power failure or a crash on the way leaves either state."""
        begins = state.condition is Condition.ALONE and node.refuses_until <= self.now
        if begins and self.faults.grudging_disks and self.random.random() < self.faults.grudging_disks:
            node.refuses_until = self.moment(300, 6000)
        refuses = self.faults.refusals and self.random.random() < self.faults.refusals
        if refuses or node.refuses_until > self.now:
            self._refuse_state(node, state)
            return
        run = node.run
        durable_ns = self.work_ns()
        if self.random.random() < self.faults.ambushes:
            durable_ns = int(self.random.uniform(1, 60) * MS)
            self.at(self.now + int(self.random.uniform(0, 1.5) * durable_ns), self.ambush)

        def write() -> None:
            if node.run == run or (node.core is None and node.run == run + 1 and self.random.random() < 0.5):
                node.state = state
                self.touched = node

        self.at(self.now + durable_ns, write)
        self.at(self.now + durable_ns + 1, lambda: self._hand_in(node, Stored()) if self._runs(node, run) else None)

    def _refuse_state(self, node: Node, state: State) -> None:
        run, count = node.run, node.stores
        in_doubt = self.faults.doubts > 0 and self.random.random() < self.faults.doubts

        def refused() -> None:
            if self._runs(node, run):
                self.on_refuse(node, state)
                if in_doubt:
                    node.state = state
                again_ns = self.now + int(self.random.uniform(200, 2000) * MS)
                self.at(again_ns, again)
                self._hand_in(node, StoreRefused("its disk is full", in_doubt))

        def again() -> None:
            if node.frozen_until > self.now or node.inbox:  # it has yet to hear that it was refused
                self.at(self.now + 10 * MS, again)
            elif self._runs(node, run) and node.stores == count:
                self._write_state(node, state)

        self.at(self.now + self.work_ns(), refused)

    def _start_application(self, node: Node) -> None:
        node.starts += 1
        node.application = started = node.starts
        self.at(self.now + self.work_ns(), lambda: self._report_health(node, started))
        self._write_later(node, started)

    def _report_health(self, node: Node, started: int) -> None:
        if started and node.application == started:
            given_up = "it does not start" if node.cannot_run else ""
            elsewhere = "check well fails" if node.check_fails else ""
            failing = ("app",) * node.cannot_run + ("well",) * node.check_fails
            self._hand_in(node, Health(not failing, failing, given_up, elsewhere))

    def set_check(self, id: int, *, fails: bool) -> None:
        """A check of its application fails, which another node might pass; or passes again."""
        self.nodes[id].check_fails = fails
        self._report_health(self.nodes[id], self.nodes[id].application)

    def fall_ill(self, id: int) -> None:
        """Its application cannot be kept running, until an operator starts the node again."""
        self.nodes[id].cannot_run = True
        self._report_health(self.nodes[id], self.nodes[id].application)

    def _write_later(self, node: Node, started: int) -> None:
        self.at(self.now + int(self.random.uniform(0, 2 * self.write_ms) * MS), lambda: self._write(node, started))

    def _write(self, node: Node, started: int) -> None:
        if node.application != started:
            return
        if node.volume is not None and node.volume_frozen_until <= self.now and not node.cannot_run:
            self._writes += 1
            node.volume.write(self._writes)
        self._write_later(node, started)

    def _stop_application(self, node: Node, *, force: bool) -> None:
        run = node.run

        def stopped() -> None:
            if self._runs(node, run) and node.application:
                node.application = 0
                self._hand_in(node, ApplicationStopped())

        self.at(self.now + (2 * MS if force else self.work_ns()), stopped)

    def _probe_witness(self, node: Node) -> None:
        if node.id not in self.blind and self.random.random() >= self.faults.loss:
            sent_ns, answer, run = self.now, WitnessAnswered(self.local(node)), node.run
            self.at(self.now + self.delay_ns(), lambda: self._hear_witness(node, run, sent_ns, answer))

    def _hear_witness(self, node: Node, run: int, sent_ns: int, answer: WitnessAnswered) -> None:
        if self._runs(node, run) and node.id not in self.blind:
            node.witnessed_ns = max(node.witnessed_ns, sent_ns)
            self._hand_in(node, answer)

    # -- networks ------------------------------------------------------------------------------------------------------

    def _send(self, node: Node, broadcast: Broadcast) -> None:
        assert node.core is not None
        other = self.other(node)
        echo = broadcast.echoes[other.id]
        heartbeat = Heartbeat(node.id, node.core.evidence.incarnation, broadcast.seq, echo, broadcast.state)
        just_heard = node.core.contact.peer.heard_ns == self.local(node)  # and this is the answer
        gap_ns = 0 if just_heard else self.now - max(node.heard_ns, node.inbox_ns)
        for network in self.networks:
            copies = 2 if self.random.random() < self.faults.duplication else 1
            for _ in range(copies):
                if (node.id, other.id, network) not in self.broken and self.random.random() >= self.faults.loss:
                    self._deliver_later(other, heartbeat, network, gap_ns, self.delay_ns())
        if self.faults.replays and self.random.random() < self.faults.replays:
            self._deliver_later(other, heartbeat, None, gap_ns, int(self.random.uniform(1, 3000) * MS))

    def _deliver_later(self, to: Node, heartbeat: Heartbeat, network: int | None, gap_ns: int, delay_ns: int) -> None:
        def deliver() -> None:
            if (heartbeat.sender, to.id, network) not in self.broken:
                if to.frozen_until > self.now:
                    to.inbox_ns = self.now
                self._hand_in(to, Received(heartbeat))
                recorded = network is None  # somebody else speaks, not the peer
                if not recorded and to.core is not None and to.core.contact.peer.heard_ns == self.local(to):
                    to.heard_ns, to.heard_gap_ns = self.now, gap_ns

        self.at(self.now + delay_ns, deliver)

    def network_between(self, a: Node, b: Node) -> int | None:
        """The first network on which both hear each other."""
        for network in self.networks:
            if (a.id, b.id, network) not in self.broken and (b.id, a.id, network) not in self.broken:
                return network
        return None

    # -- what volumes do -----------------------------------------------------------------------------------------------

    def report(self, node: Node, volume: Volume, report: Report) -> None:
        if node.volume is volume:
            self._hand_in(node, Reported(report))

    def serves(self, node: Node) -> None:
        self.touched = node
        self.on_serve(node)

    def counts_on(self, node: Node) -> None:
        self.on_count(node)
        if self.faults.ambushes and self.random.random() < self.faults.ambushes:
            self.ambush()

    def applies(self, node: Node) -> None:
        self.on_apply(node)

    def overwrites(self, node: Node, leader: Node, snapshot: set[int]) -> None:
        self.on_overwrite(node, leader, snapshot)

    def acknowledge(self, node: Node, write: int) -> None:
        self.touched = node
        self.acknowledged[write] = node.state

    def answers(self, node: Node) -> bool:
        """Whether clients reach the node."""
        return node.address and node.lease_until > self.local(node)
