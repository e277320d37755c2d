"""I5, the unplanned half: one failure moves only what it must, and soon."""

from __future__ import annotations

import pytest

from farmd.core.events import Command
from farmd.core.settings import MS
from farmd.core.view import BUCKETS
from tests.sim.calm import DELAY_MS_MAX, calm_farm, owners, settle
from tests.sim.flows import Clients, Gaps
from tests.sim.invariants import DEFAULT

SEEDS = range(10)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_dead_nodes_buckets_move(size: int, seed: int) -> None:
    cluster = calm_farm(size, seed)
    before, dead = owners(cluster), 1 + seed % size
    clients, gaps = Clients(cluster), Gaps(cluster)
    clients.connect()
    cluster.kill(dead)
    clients.end(dead)
    settle(cluster)
    after = owners(cluster)
    assert all(owner in (dead, now) for owner, now in zip(before, after, strict=True))
    shares = [after.count(node) for node in cluster.nodes if node != dead]
    assert max(shares) - min(shares) <= 1
    assert sum(shares) == BUCKETS
    assert gaps.longest_ms <= DEFAULT.suspect_ns / MS + 20 * DELAY_MS_MAX


@pytest.mark.parametrize("seed", SEEDS)
def test_a_frozen_node_has_closed_before_others_open(seed: int) -> None:
    cluster = calm_farm(3, seed)
    frozen = 1 + seed % 3
    its = cluster.open_now(cluster.nodes[frozen])
    cluster.freeze(frozen, 3000)

    def closed() -> bool:
        return not cluster.answers(cluster.nodes[frozen])

    def taken() -> bool:
        return all(cluster.open_now(node) & its for node in cluster.nodes.values() if node.id != frozen)

    assert cluster.step_until(closed, DEFAULT.lease_ns / MS + 5)
    assert not taken()
    assert cluster.step_until(taken, DEFAULT.suspect_ns / MS)
    cluster.run_for(3000)
    settle(cluster)


def test_who_could_not_listen_suspects_nobody() -> None:
    cluster = calm_farm(3, 4)
    node = cluster.nodes[1]
    cluster.freeze(1, 600)
    cluster.run_for(599)
    node.inbox.clear()  # what had arrived did not fit into the socket
    assert node.core is not None
    while node.core.view is not None:  # it may have been left out meanwhile, so it will close when it wakes
        cluster.run_next()
    assert not node.core.evidence.suspects(cluster.local(node))


@pytest.mark.parametrize("victim", [1, 2])
def test_a_node_that_hears_but_is_not_heard_closes_before_it_is_left_out(victim: int) -> None:
    cluster = calm_farm(3, victim)
    for other in {1, 2, 3} - {victim}:
        cluster.cut(victim, other, one_way=True)
    node = cluster.nodes[victim]
    assert cluster.step_until(lambda: not cluster.answers(node), DEFAULT.suspect_ns / MS)
    assert all(core.core is not None and core.core.view is not None for core in cluster.nodes.values() if core != node)
    cluster.run_for(1000)
    assert cluster.open_now(node) == 0
    cluster.heal()
    settle(cluster)


def test_where_two_do_not_hear_each_other_and_a_third_hears_both_the_old_view_goes_on() -> None:
    cluster = calm_farm(3, 5)
    before = owners(cluster)
    clients = Clients(cluster)
    clients.connect()
    cluster.cut(2, 3)
    cluster.run_for(3000)
    assert owners(cluster) == before


@pytest.mark.parametrize("weighed", [1, 2, 3])
def test_an_order_waits_while_those_it_concerns_do_not_hear_each_other(weighed: int) -> None:
    cluster = calm_farm(3, 6)
    before = owners(cluster)
    cluster.cut(2, 3)
    cluster.run_for(600)
    clients, gaps = Clients(cluster), Gaps(cluster)
    clients.connect()
    cluster.order(1, Command(weighed, weight=30))
    cluster.run_for(2000)
    if weighed == 1:
        assert gaps.longest_ms <= 2 * DELAY_MS_MAX, "n1 loses, and all hear it"
    else:
        assert owners(cluster) == before
        assert gaps.longest_ms == 0
    cluster.heal()
    settle(cluster)
    assert owners(cluster) != before


def test_where_two_do_not_hear_each_other_the_dead_are_replaced_all_the_same() -> None:
    cluster = calm_farm(4, 6)
    cluster.cut(2, 3)
    cluster.run_for(600)
    gaps = Gaps(cluster)
    cluster.kill(4)
    cluster.run_for(600)
    assert not gaps.closed


def test_a_dead_coordinator_is_replaced() -> None:
    cluster = calm_farm(3, 2)
    cluster.kill(1)
    settle(cluster)
    core = cluster.nodes[2].core
    assert core is not None
    assert core.follower.installed.coordinator == 2


def test_both_die_and_one_comes_back() -> None:
    cluster = calm_farm(2, 3)
    cluster.kill(1)
    cluster.kill(2)
    cluster.run_for(100)
    cluster.start(2)
    settle(cluster)
    assert owners(cluster) == bytes([2]) * BUCKETS
