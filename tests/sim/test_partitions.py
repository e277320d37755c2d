"""A farm in two parts: who serves, and what becomes of the flows when the parts meet again."""

from __future__ import annotations

from typing import Any

import pytest

from farmd.core.settings import MS
from tests.sim.calm import DELAY_MS_MAX, calm_farm, settle
from tests.sim.cluster import Cluster
from tests.sim.flows import Clients, Gaps
from tests.sim.invariants import DEFAULT, EVERY_BUCKET

SETTLE_MS = 1000
REJOIN_MS_MAX = 250
"""From the first message through until a node that closed has its flows passed again."""
SEEDS = range(10)


def served_by(cluster: Cluster, side: set[int]) -> int:
    opened = 0
    for node in side:
        opened |= cluster.open_now(cluster.nodes[node])
    return opened


@pytest.mark.parametrize("side", [{1}, {2}, {1, 2}, {3, 4}])
@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_rule_each_side_serves_and_the_flows_of_both_survive(side: set[int], seed: int) -> None:
    cluster = calm_farm(4, seed, settle_ns=SETTLE_MS * MS)
    rest = set(cluster.nodes) - side
    cluster.partition(side)
    cluster.run_for(DEFAULT.suspect_ns / MS + 50)
    assert served_by(cluster, side) == served_by(cluster, rest) == EVERY_BUCKET
    clients = Clients(cluster, interruption_ms_max=REJOIN_MS_MAX)
    clients.connect(side)
    clients.connect(rest)
    cluster.run_for(2 * SETTLE_MS)
    cluster.heal()
    settle(cluster)
    cluster.run_for(3 * SETTLE_MS)
    assert all(clients.on[node] for node in cluster.nodes)
    clients.end()
    cluster.run_for(3 * SETTLE_MS)
    assert all(node.core is not None and node.core.view is not None and not node.core.view.moving
               for node in cluster.nodes.values())  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_those_who_come_back_leave_no_bucket_closed_for_long(seed: int) -> None:
    cluster = calm_farm(4, seed)
    cluster.partition({1, 2})
    cluster.run_for(600)
    gaps = Gaps(cluster)
    cluster.heal()
    settle(cluster)
    assert gaps.longest_ms <= 2 * DELAY_MS_MAX


@pytest.mark.parametrize(("size", "side"), [(3, {1}), (3, {2}), (5, {1, 2}), (4, {1, 2}), (2, {1})])
def test_with_a_quorum_only_a_majority_serves(size: int, side: set[int]) -> None:
    cluster = calm_farm(size, 7, quorum="majority")
    rest = set(cluster.nodes) - side
    cluster.partition(side)
    cluster.run_for(DEFAULT.suspect_ns / MS + 50)
    rest_is_more = 2 * len(rest) > size
    for _ in range(10):
        cluster.run_for(200)
        assert served_by(cluster, side) == 0
        assert served_by(cluster, rest) == (EVERY_BUCKET if rest_is_more else 0)
    cluster.heal()
    settle(cluster)


@pytest.mark.parametrize("blind", [{1}, {2}, {1, 2}])
def test_with_a_witness_only_those_it_answers_serve(blind: set[int]) -> None:
    cluster = calm_farm(2, 8, witness=True)
    cluster.partition({1})
    cluster.blind |= blind
    cluster.run_for(DEFAULT.suspect_ns / MS + 50)
    for _ in range(10):
        cluster.run_for(200)
        for node in cluster.nodes:
            assert served_by(cluster, {node}) == (0 if node in blind else EVERY_BUCKET)
    cluster.heal()
    settle(cluster)


@pytest.mark.parametrize("seed", SEEDS)
def test_who_gets_its_cable_back_joins_and_does_not_fence_those_who_served(seed: int) -> None:
    cluster = calm_farm(2, seed, witness=True)
    cluster.partition({2})
    cluster.blind.add(2)
    cluster.run_for(800 + 7 * seed)
    clients = Clients(cluster)
    clients.connect()
    cluster.heal()
    settle(cluster)
    assert clients.on[1] == EVERY_BUCKET


def test_nodes_in_touch_need_no_witness() -> None:
    cluster = calm_farm(3, 9, witness=True)
    cluster.blind |= set(cluster.nodes)
    cluster.run_for(2000)
    assert served_by(cluster, {1, 2, 3}) == EVERY_BUCKET


@pytest.mark.parametrize("rule", [{"quorum": "majority"}, {"witness": True}])
def test_a_rule_does_not_delay_the_takeover_of_a_dead_nodes_buckets(rule: dict[str, Any]) -> None:
    cluster = calm_farm(3, 10, **rule)
    cluster.kill(2)
    assert cluster.step_until(lambda: served_by(cluster, {1, 3}) == EVERY_BUCKET, DEFAULT.suspect_ns / MS + 50)
