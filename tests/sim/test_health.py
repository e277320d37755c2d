"""I4 and I5 for nodes whose checks fail: a planned change, that moves only what it must and breaks no flow."""

from __future__ import annotations

import pytest

from farmd.core.events import Command, Leave
from farmd.core.settings import MS
from farmd.core.view import NOBODY
from tests.sim.calm import DELAY_MS_MAX, calm_farm, owners, settle
from tests.sim.cluster import Cluster
from tests.sim.flows import Clients, Gaps
from tests.sim.invariants import EVERY_BUCKET, ReleasedStays

SETTLE_MS = 1000
AHEAD_MS = 700
VIEW_MS_MAX = 6 * DELAY_MS_MAX
"""Word of the change, proposal, promises, commitment, releases; and a little."""
SEEDS = range(10)


def serve(cluster: Cluster, *nodes: int) -> bool:
    """Whether these nodes, and no others, have all buckets open."""
    opened = {node.id: cluster.open_now(node) for node in cluster.nodes.values()}
    at_work = {node for node, buckets in opened.items() if buckets}
    return at_work == set(nodes) and sum(opened.values()) == EVERY_BUCKET


@pytest.mark.parametrize("ready", [False, True], ids=["not-ready", "ready-but-failing"])
@pytest.mark.parametrize("ill", [1, 2, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_who_falls_ill_gives_its_buckets_away_at_once_and_breaks_no_flow(seed: int, ill: int, *, ready: bool) -> None:
    cluster = calm_farm(4, seed, settle_ns=SETTLE_MS * MS)
    before, others = owners(cluster), {1, 2, 3, 4} - {ill}
    clients, gaps = Clients(cluster), Gaps(cluster)
    clients.connect()
    cluster.fall_ill(ill, "app", ready=ready)
    assert cluster.step_until(lambda: serve(cluster, *others), VIEW_MS_MAX)
    assert {old for old, new in zip(before, owners(cluster), strict=True) if old != new} == {ill}
    assert gaps.longest_ms <= 2 * DELAY_MS_MAX
    cluster.run_for(2 * SETTLE_MS)
    cluster.recover(ill)
    assert cluster.step_until(lambda: serve(cluster, 1, 2, 3, 4), VIEW_MS_MAX)
    cluster.run_for(2 * SETTLE_MS)
    assert clients.refused == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_what_fails_everywhere_is_nobodys_fault(seed: int) -> None:
    cluster = calm_farm(3, seed, settle_ns=SETTLE_MS * MS)
    clients = Clients(cluster)
    clients.connect()
    for node in (2, 3, 1):
        cluster.fall_ill(node, "db")
        cluster.run_for(100 * (seed % 2))
    settle(cluster)
    assert serve(cluster, 1, 2, 3)
    for node in (3, 1, 2):
        cluster.recover(node)
    settle(cluster)
    assert serve(cluster, 1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_two_that_fail_the_one_with_fewer_failing_checks_serves(seed: int) -> None:
    cluster = calm_farm(2, seed)
    cluster.fall_ill(1, "app", "db")
    cluster.fall_ill(2, "db")
    settle(cluster)
    assert serve(cluster, 2)
    cluster.fall_ill(1, "db")
    settle(cluster)
    assert serve(cluster, 1, 2)


def test_who_is_alone_serves_whatever_fails() -> None:
    cluster = calm_farm(3, 1)
    cluster.kill(2)
    cluster.kill(3)
    settle(cluster)
    cluster.fall_ill(1, "app", "db")
    settle(cluster)
    assert serve(cluster, 1)


@pytest.mark.parametrize("last", [1, 2])
def test_where_nobody_is_able_nobody_owns_until_somebody_recovers(last: int) -> None:
    cluster = calm_farm(2, 2, settle_ns=SETTLE_MS * MS)
    clients = Clients(cluster)
    clients.connect()
    cluster.fall_ill(3 - last, ready=False)
    settle(cluster)
    cluster.fall_ill(last, ready=False)
    settle(cluster)
    assert set(owners(cluster)) == {NOBODY}
    assert serve(cluster) is False
    cluster.recover(last)
    settle(cluster)
    assert serve(cluster, last)


@pytest.mark.parametrize("node", [1, 2])
@pytest.mark.parametrize("seed", range(40))
def test_who_relapses_while_a_view_is_on_its_way_opens_nothing_once_it_has_released(node: int, seed: int) -> None:
    cluster = calm_farm(3, seed)
    cluster.checks.append(ReleasedStays())
    cluster.fall_ill(node, ready=False)
    settle(cluster)
    cluster.recover(node)
    cluster.run_for(seed / 5)  # from before the word of it is out until the view is in force
    cluster.fall_ill(node, ready=False)
    cluster.run_for(VIEW_MS_MAX)
    settle(cluster)
    assert serve(cluster, *{1, 2, 3} - {node})


@pytest.mark.parametrize("seed", SEEDS)
def test_who_falls_ill_is_replaced_while_another_dies(seed: int) -> None:
    cluster = calm_farm(4, seed)
    cluster.kill(1 + seed % 2)
    cluster.run_for(350 + 10 * seed)
    cluster.fall_ill(3, "app", ready=False)
    settle(cluster)
    assert serve(cluster, *{1, 2, 4} - {1 + seed % 2})


@pytest.mark.parametrize("seed", SEEDS)
def test_who_starts_without_being_ready_joins_and_owns_nothing(seed: int) -> None:
    cluster = calm_farm(3, seed, started=(1, 3))
    before = owners(cluster)
    cluster.fall_ill(2, ready=False)
    cluster.start(2)
    settle(cluster)
    assert owners(cluster) == before
    cluster.recover(2)
    settle(cluster)
    assert serve(cluster, 1, 2, 3)


# -- a drain that is announced -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["drain", "leave"])
@pytest.mark.parametrize("node", [1, 2])
def test_no_bucket_moves_before_a_drain_has_been_announced_for_its_time(how: str, node: int) -> None:
    cluster = calm_farm(3, 3, drain_ahead_ns=AHEAD_MS * MS)
    before, clients = owners(cluster), Clients(cluster)
    clients.connect()
    core = cluster.nodes[node].core
    assert core is not None
    if how == "drain":
        cluster.order(3, Command(node, drained=True))
    else:
        cluster.order(node, Leave(cluster.local(cluster.nodes[node]) + 60_000 * MS))
    assert cluster.step_until(lambda: core.standing.drain_announced, 2 * DELAY_MS_MAX)
    cluster.run_for(AHEAD_MS - 2 * DELAY_MS_MAX)
    assert owners(cluster) == before
    assert cluster.step_until(lambda: serve(cluster, *{1, 2, 3} - {node}), 4 * DELAY_MS_MAX + VIEW_MS_MAX)


def test_a_drain_taken_back_before_its_time_moves_nothing() -> None:
    cluster = calm_farm(3, 4, drain_ahead_ns=AHEAD_MS * MS)
    before, epochs = owners(cluster), {node.core.follower.installed for node in cluster.nodes.values() if node.core}
    for _ in range(3):
        cluster.order(1, Command(2, drained=True))
        cluster.run_for(AHEAD_MS - 100)
        cluster.order(3, Command(2, drained=False))
        cluster.run_for(100)
    assert owners(cluster) == before
    assert {node.core.follower.installed for node in cluster.nodes.values() if node.core} == epochs


def test_a_second_order_to_leave_waits_for_nothing() -> None:
    cluster = calm_farm(3, 5, drain_ahead_ns=AHEAD_MS * MS)
    node = cluster.nodes[2]
    cluster.order(2, Leave(cluster.local(node) + 60_000 * MS))
    cluster.run_for(50)
    assert cluster.open_now(node)
    cluster.order(2, Leave(cluster.local(node)))
    assert cluster.step_until(lambda: serve(cluster, 1, 3), VIEW_MS_MAX)


def test_who_falls_ill_while_its_drain_is_announced_gives_its_buckets_away() -> None:
    cluster = calm_farm(3, 6, drain_ahead_ns=AHEAD_MS * MS)
    cluster.order(1, Command(2, drained=True))
    cluster.run_for(100)
    cluster.fall_ill(2, ready=False)
    assert cluster.step_until(lambda: serve(cluster, 1, 3), VIEW_MS_MAX)


def test_a_drained_node_that_comes_back_owns_nothing_meanwhile() -> None:
    cluster = calm_farm(3, 7, drain_ahead_ns=AHEAD_MS * MS)
    cluster.order(1, Command(2, drained=True))
    cluster.run_for(AHEAD_MS + 100)
    cluster.kill(2)
    settle(cluster)
    before = owners(cluster)
    cluster.start(2)
    cluster.checks.append(lambda farm: refuse_open(farm, 2))
    settle(cluster)
    cluster.run_for(2 * AHEAD_MS)
    assert owners(cluster) == before


def refuse_open(cluster: Cluster, node: int) -> None:
    assert not cluster.open_now(cluster.nodes[node])
