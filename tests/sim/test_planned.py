"""I5, the planned half: what an operator asks for breaks no established flow and closes no bucket for long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from farmd.core.events import Command, Leave
from farmd.core.settings import MS
from tests.sim.calm import DELAY_MS_MAX, calm_farm, settle
from tests.sim.cluster import Cluster
from tests.sim.flows import Clients, Gaps

SETTLE_MS = 1000
HANDOVER_MS_MAX = 100
"""Old flows wait from the moment the daemon has left until its filter is told to pass what lives there."""
SEEDS = range(10)


def leave(cluster: Cluster, node: int, patience_ms: int = 60_000) -> None:
    cluster.order(node, Leave(cluster.local(cluster.nodes[node]) + patience_ms * MS))


def drain(cluster: Cluster) -> None:
    cluster.order(1, Command(2, drained=True))


def weigh_up(cluster: Cluster) -> None:
    cluster.order(3, Command(2, weight=300))


def weigh_down(cluster: Cluster) -> None:
    cluster.order(2, Command(2, weight=0))


def coordinator_leaves(cluster: Cluster) -> None:
    leave(cluster, 1)


def follower_leaves(cluster: Cluster) -> None:
    leave(cluster, 3)


def two_at_once(cluster: Cluster) -> None:
    cluster.order(1, Command(2, drained=True))
    cluster.order(3, Command(1, weight=30))


PLANNED = [drain, weigh_up, weigh_down, coordinator_leaves, follower_leaves, two_at_once]


@pytest.mark.parametrize("change", PLANNED)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_planned_change_breaks_no_flow(change: Callable[[Cluster], None], seed: int) -> None:
    cluster = calm_farm(4, seed, settle_ns=SETTLE_MS * MS)
    clients, gaps = Clients(cluster), Gaps(cluster)
    clients.connect()
    change(cluster)
    cluster.run_for(2 * SETTLE_MS)
    assert_short(gaps)
    assert any(clients.on[node.id] & ~node.open_mask for node in cluster.nodes.values()), "no flow saw its bucket go"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_that_joins_breaks_no_flow(seed: int) -> None:
    cluster = calm_farm(3, seed, started=(2, 3), settle_ns=SETTLE_MS * MS)
    clients, gaps = Clients(cluster), Gaps(cluster)
    clients.connect()
    cluster.start(1)
    settle(cluster)
    clients.connect()
    assert clients.on[1], "the newcomer gets no new clients"
    cluster.run_for(2 * SETTLE_MS)
    assert_short(gaps)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drain_that_is_taken_back_breaks_no_flow(seed: int) -> None:
    cluster = calm_farm(3, seed, settle_ns=SETTLE_MS * MS)
    clients = Clients(cluster)
    clients.connect()
    for drained in (True, False, True, False):
        cluster.order(1, Command(2, drained=drained))
        cluster.run_for(150)
        clients.connect()
    cluster.run_for(2 * SETTLE_MS)
    assert clients.refused == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_that_restarts_waits_for_its_flows_and_breaks_none(seed: int) -> None:
    cluster = calm_farm(3, seed, settle_ns=SETTLE_MS * MS)
    clients = Clients(cluster)
    clients.connect()
    leave(cluster, 1)
    cluster.run_for(2 * SETTLE_MS)
    assert cluster.nodes[1].core is not None, "it left while flows lived on it"
    clients.end(1)
    assert cluster.step_until(lambda: cluster.nodes[1].core is None, SETTLE_MS)
    cluster.run_for(500)
    assert all(node.core.view.failed == frozenset() for node in cluster.nodes.values() if node.core and node.core.view)
    cluster.start(1)
    settle(cluster)
    cluster.run_for(2 * SETTLE_MS)


@pytest.mark.parametrize("seed", SEEDS)
def test_flows_that_have_ended_let_a_bucket_settle(seed: int) -> None:
    cluster = calm_farm(3, seed, settle_ns=SETTLE_MS * MS)
    clients = Clients(cluster)
    clients.connect()
    drain(cluster)
    cluster.run_for(3 * SETTLE_MS)
    assert moving(cluster), "buckets were settled while old flows lived"
    clients.end()
    cluster.run_for(2 * SETTLE_MS)
    assert not moving(cluster)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("node", [1, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_daemon_that_replaces_itself_breaks_no_flow(size: int, node: int, seed: int) -> None:
    cluster = calm_farm(size, seed, settle_ns=SETTLE_MS * MS)
    clients, gaps = Clients(cluster, interruption_ms_max=HANDOVER_MS_MAX), Gaps(cluster)
    clients.connect()
    cluster.hand_over(node)
    cluster.run_for(HANDOVER_MS_MAX)
    settle(cluster)
    assert cluster.open_now(cluster.nodes[node])
    assert clients.on[node]
    cluster.run_for(2 * SETTLE_MS)
    # Three views follow each other closely here, and with them the times at which a bucket is closed.
    assert gaps.longest_ms <= 3 * DELAY_MS_MAX


def test_a_leaver_gives_up_on_flows_at_its_deadline() -> None:
    cluster = calm_farm(3, 0, settle_ns=SETTLE_MS * MS)
    cluster.flows_elsewhere = lambda node: True
    leave(cluster, 2, patience_ms=700)
    cluster.run_for(600)
    assert cluster.nodes[2].core is not None
    assert cluster.step_until(lambda: cluster.nodes[2].core is None, 300)


def assert_short(gaps: Gaps) -> None:
    """A bucket is closed everywhere from its loser's release until the gainer has heard of that and of all others': the
    commitment reaches the losers at different times, and then the releases travel."""
    assert not gaps.closed
    assert 0 < gaps.longest_ms <= 2 * DELAY_MS_MAX


def moving(cluster: Cluster) -> int:
    cores = [node.core for node in cluster.nodes.values() if node.core is not None]
    assert all(core.view is not None for core in cores)
    return max(core.view.moving.bit_count() for core in cores if core.view is not None)
