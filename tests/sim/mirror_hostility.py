"""What goes wrong in a simulated mirror, and when: all of it follows from one seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from farmd.core.settings import MS
from mirrord.core.events import Event, Promote, Resync, Start, Stop, Swap, Verify
from mirrord.core.generations import Condition, State
from tests.sim.mirror import Mirror
from tests.sim.mirror_faults import Faults
from tests.sim.mirror_node import Node


@dataclass(frozen=True, slots=True)
class Ordeal:
    """A mirror and what it is put through."""

    faults: Faults
    networks: int
    empty: bool
    settings: dict[str, object] = field(default_factory=dict)
    """What differs from the default settings."""


def ordeal_for(seed: int) -> Ordeal:
    """The mirror and the faults of a seed: from calm to wild, so that rare events are seen alone and together."""
    choose = random.Random(f"mirror {seed}").choice
    disks = random.Random(f"disks {seed}")
    later = random.Random(f"later {seed}")
    refusals, stubborn_disks = disks.choice([0, 0, 0.2]), disks.choice([0, 0, 0.1])
    faults = Faults(
        loss=choose([0, 0, 0.02, 0.1, 0.3]),
        duplication=choose([0, 0.1]),
        replays=choose([0, 0, 0.05]),
        delay_ms_max=choose([1, 5, 20]),
        slow_delivery=choose([0, 0, 0.02]),
        jitter_ms_max=choose([1, 5, 20]),
        slow_work=choose([0, 0, 0.05, 0.2]),
        cuts=choose([0, 0.3, 1]),
        partitions=choose([0, 0.1, 0.3]),
        freezes=choose([0, 0.1, 0.3]),
        crashes=choose([0, 0.1, 0.3]),
        power_cuts=choose([0, 0.1, 0.3]),
        volume_deaths=choose([0, 0, 0.2]),
        volume_hangs=choose([0, 0, 0.05]),
        witness_cuts=choose([0, 0.3]),
        disk_faults=choose([0, 0, 0.1]),
        applications=choose([0, 0, 0.1]),
        orders=choose([0, 0.2, 0.5]),
        ambushes=choose([0, 0.1, 0.3]),
        refusals=refusals,
        stubborn_disks=stubborn_disks,
        grudging_disks=later.choice([0, 0, 0.5]),
        doubts=later.choice([0, 0, 0.3]),
        checks=later.choice([0, 0, 0.2]),
    )
    settings: dict[str, object] = {
        "heartbeat_ns": 100 * MS,
        "suspect_ns": choose([1000, 1000, 2000]) * MS,
        "lease_ns": choose([300, 500]) * MS,
        "witness": choose([False, True, True]),
        "witness_wait_ns": choose([500, 2000]) * MS,
        "prefer": choose([None, None, 1, 2]),
        "prefer_after_ns": 1500 * MS,
        "handover_ns": 2500 * MS,
        "broken_ns": 4000 * MS,
        "retry_ns": 1500 * MS,
        "held_ns": later.choice([500, 1500, 6000]) * MS,
        "volume_silent_ns": 2500 * MS,
    }
    return Ordeal(faults, choose([1, 2, 2, 3]), choose([True, True, False]), settings)


class Hostility:
    """Random faults, strewn over a mirror from now until `until_ns`; then everything is made whole again."""

    def __init__(self, mirror: Mirror, until_ns: int) -> None:
        self.mirror, self.until_ns = mirror, until_ns
        self.random = mirror.random
        faults = mirror.faults
        rates = {
            self._cut: faults.cuts,
            self._part: faults.partitions,
            self._freeze: faults.freezes,
            self._crash: faults.crashes,
            self._power_off: faults.power_cuts,
            self._kill_volume: faults.volume_deaths,
            self._hang_volume: faults.volume_hangs,
            self._blind: faults.witness_cuts,
            self._break_disk: faults.disk_faults,
            self._stop_taking_states: faults.stubborn_disks,
            self._break_application: faults.applications,
            self._fail_check: faults.checks,
            self._command: faults.orders,
        }
        mirror.strew(rates, until_ns)
        mirror.ambush = self._ambush
        mirror.on_refuse = self._let_peer_return
        mirror.at(until_ns, self._make_whole)

    def _some_node(self) -> int:
        return self.random.choice((1, 2))

    def _cut(self) -> None:
        a = self._some_node()
        direction = (a, 3 - a, self.random.choice(self.mirror.networks))
        self.mirror.broken.add(direction)
        self.mirror.at(self.mirror.moment(100, 4000), lambda: self.mirror.broken.discard(direction))

    def _part(self) -> None:
        a = self._some_node()
        self.mirror.cut(a, 3 - a, one_way=self.random.random() < 0.3)
        if self.random.random() < 0.5:
            self.mirror.blind.add(a)
        self.mirror.at(self.mirror.moment(100, 4000), self.mirror.heal)

    def _blind(self) -> None:
        nodes = {1, 2} if self.random.random() < 0.3 else {self._some_node()}
        self.mirror.blind |= nodes
        self.mirror.at(self.mirror.moment(100, 4000), lambda: self.mirror.blind.difference_update(nodes))

    def _freeze(self) -> None:
        left_ms = (self.until_ns - self.mirror.now) / MS
        ms = min(left_ms, self.random.choice([150, 400, 750, 950, 1050, 1500, 2200, 4000]))
        self.mirror.freeze(self._some_node(), ms, whole=self.random.random() < 0.5)

    def _crash(self) -> None:
        node = self._some_node()
        self.mirror.crash(node)
        self._start_again(node)

    def _power_off(self) -> None:
        for node in (1, 2) if self.random.random() < 0.3 else (self._some_node(),):
            self.mirror.power_off(node)
            self._start_again(node)

    def _start_again(self, node: int) -> None:
        self.mirror.at(self.mirror.moment(50, 4000), lambda: self.mirror.start(node))

    def _ambush(self) -> None:
        if self.mirror.now < self.until_ns:
            self.random.choice([self._power_off, self._power_off, self._crash, self._freeze, self._part])()

    def _let_peer_return(self, node: Node, state: State) -> None:
        """To a node that cannot go on without it."""
        if state.condition is Condition.ALONE and self.mirror.now < self.until_ns and self.random.random() < 0.3:
            self.mirror.at(self.mirror.moment(50, 1500), self._reunite)

    def _reunite(self) -> None:
        self.mirror.heal()
        self.mirror.start()

    def _kill_volume(self) -> None:
        self.mirror.lose_volume(self.mirror.nodes[self._some_node()], "killed")

    def _hang_volume(self) -> None:
        volume = self.mirror.nodes[self._some_node()].volume
        if volume is not None:
            volume.hung = True

    def _break_disk(self) -> None:
        volume = self.mirror.nodes[self._some_node()].volume
        if volume is not None:
            volume.fail("its disk is full")

    def _stop_taking_states(self) -> None:
        node = self.mirror.nodes[self._some_node()]
        node.refuses_until = max(node.refuses_until, self.mirror.moment(500, 6000))

    def _break_application(self) -> None:
        self.mirror.fall_ill(self._some_node())

    def _fail_check(self) -> None:
        for node in (1, 2) if self.random.random() < 0.3 else (self._some_node(),):
            self.mirror.set_check(node, fails=True)
            self.mirror.at(self.mirror.moment(100, 4000), lambda node=node: self.mirror.set_check(node, fails=False))  # type: ignore[misc]

    def _command(self) -> None:
        force = Promote(force=self.random.random() < 0.2)
        wishes: list[Event] = [Swap(), Swap(), Swap(), Stop(), Start(), Start(), Resync(), Verify(), force]
        self.mirror.order(self._some_node(), self.random.choice(wishes))

    def _make_whole(self) -> None:
        self.mirror.heal()
        self.mirror.faults = Faults()
        for node in self.mirror.nodes.values():
            node.cannot_run, node.refuses_until = False, 0
            self.mirror.set_check(node.id, fails=False)
            if node.volume is not None and node.volume.hung:
                self.mirror.lose_volume(node, "killed")
        self.mirror.start()
