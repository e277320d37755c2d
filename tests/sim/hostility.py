"""What goes wrong in a simulated farm, and when: all of it follows from one seed."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, field

from farmd.core.events import Command, Leave
from farmd.core.settings import MS
from tests.sim.cluster import Cluster
from tests.sim.faults import Faults

LEAVE_PATIENCE_MS = 500
CHECKS = ("app", "db")


@dataclass(frozen=True, slots=True)
class Ordeal:
    """A farm and what it is put through."""

    size: int
    faults: Faults
    settings: dict[str, object] = field(default_factory=dict)
    """What differs from the default settings."""


def ordeal_for(seed: int) -> Ordeal:
    """The farm and the faults of a seed: from calm to wild, so that rare events are seen alone and together."""
    choose = random.Random(f"ordeal {seed}").choice
    faults = Faults(
        loss=choose([0, 0, 0.02, 0.1, 0.3, 0.5]),
        duplication=choose([0, 0.1]),
        replays=choose([0, 0, 0.05]),
        delay_ms_max=choose([1, 5, 20]),
        slow_delivery=choose([0, 0, 0.02]),
        jitter_ms_max=choose([1, 5, 20]),
        drift=choose([0, 1e-4]),
        one_way_cuts=choose([0, 0.3, 1]),
        partitions=choose([0, 0.2, 0.5]),
        freezes=choose([0, 0.2, 0.7]),
        crashes=choose([0, 0.2, 0.5]),
        planned=choose([0, 0.5, 2]),
        witness_cuts=choose([0, 0.5]),
        health=choose([0, 1, 5]),
    )
    settings: dict[str, object] = {
        "quorum": choose(["none", "none", "majority"]),
        "witness": choose([False, False, True]),
        "settle_ns": choose([500, 2000, 10_000]) * MS,
        "drain_ahead_ns": choose([0, 0, 300]) * MS,
    }
    return Ordeal(choose([2, 3, 3, 4, 5]), faults, settings)


class Hostility:
    """Random faults, strewn over a cluster from now until `until_ns`; then everything is made whole again."""

    def __init__(self, cluster: Cluster, until_ns: int) -> None:
        self.cluster = cluster
        self.random = cluster.random
        self.until_ns = until_ns
        self.over_ns = until_ns
        """When the last node that was stopped is to start again."""
        faults = cluster.faults
        rates = {
            self._cut: faults.one_way_cuts,
            self._part: faults.partitions,
            self._freeze: faults.freezes,
            self._crash: faults.crashes,
            self._change: faults.planned,
            self._blind: faults.witness_cuts,
            self._change_health: faults.health,
        }
        cluster.strew(rates, until_ns)
        cluster.at(until_ns, self._make_whole)

    def _some_node(self) -> int:
        return self.random.choice(sorted(self.cluster.nodes))

    def _cut(self) -> None:
        a, b = self.random.sample(sorted(self.cluster.nodes), 2)
        self.cluster.cut(a, b, one_way=True)
        self.cluster.at(self.cluster.moment(100, 3000), lambda: self.cluster.broken.discard((a, b)))

    def _part(self) -> None:
        side = {node for node in sorted(self.cluster.nodes) if self.random.random() < 0.5}
        self.cluster.partition(side)
        if self.random.random() < 0.5:
            self.cluster.blind |= side
        self.cluster.at(self.cluster.moment(100, 3000), self.cluster.heal)

    def _blind(self) -> None:
        node = self._some_node()
        self.cluster.blind.add(node)
        self.cluster.at(self.cluster.moment(100, 3000), lambda: self.cluster.blind.discard(node))

    def _freeze(self) -> None:
        left_ms = (self.until_ns - self.cluster.now) / MS
        self.cluster.freeze(self._some_node(), min(left_ms, self.random.choice([60, 150, 250, 390, 420, 600, 3000])))

    def _crash(self) -> None:
        node = self._some_node()
        self.cluster.kill(node)
        self._start_again(node, self.cluster.moment(20, 2500))

    def _start_again(self, node: int, when_ns: int) -> None:
        self.over_ns = max(self.over_ns, when_ns)
        self.cluster.at(when_ns, lambda: self._start_unless_leaving(node))

    def _start_unless_leaving(self, node: int) -> None:
        core = self.cluster.nodes[node].core
        if core is not None and core.leaving:
            self._start_again(node, self.cluster.moment(100, 100))
        else:
            self.cluster.start(node)

    def _change(self) -> None:
        by, node = self._some_node(), self._some_node()
        what = self.random.choice(["drain", "undrain", "weight", "leave"])
        if what == "leave":
            core = self.cluster.nodes[node].core
            if core is not None:
                self.cluster.order(node, Leave(self.cluster.local(self.cluster.nodes[node]) + LEAVE_PATIENCE_MS * MS))
                self._start_again(node, self.cluster.moment(700, 2000))
        elif what == "weight":
            self.cluster.order(by, Command(node, weight=self.random.choice([0, 10, 50, 100, 200])))
        else:
            self.cluster.order(by, Command(node, drained=what == "drain"))

    def _change_health(self) -> None:
        """Of one node, or of all, as when what they share fails. Some recover and relapse while that is acted upon."""
        everywhere = self.random.random() < 0.2
        for node in self.cluster.nodes if everywhere else [self._some_node()]:
            if self.random.random() < 0.5:
                self._fall_ill(node)
            else:
                self.cluster.recover(node)
                self.cluster.at(self.cluster.moment(0, 20), functools.partial(self._fall_ill, node))

    def _fall_ill(self, node: int) -> None:
        failing = [check for check in CHECKS if self.random.random() < 0.4]
        self.cluster.fall_ill(node, *failing, ready=self.random.random() < 0.6)

    def _make_whole(self) -> None:
        """All but the health of the nodes: the farm must find its rest with whoever is able."""
        self.cluster.heal()
        self.cluster.faults = Faults()
        self.cluster.start()
