"""Failures of one node, as its clients see them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lab import services
from lab.network import FARMD, Lab
from lab.waiting import until
from tests.lab.nodes import NODES, crash, moves, owners, wait_members
from tests.lab.watching import IMPATIENT_MS, Clients, wait_answers, watched

pytestmark = pytest.mark.needs_root

GAP_MS_MAX = 1500.0
"""So much more than the 400 ms of suspicion because the machine may be busy; the figures are the benchmark's."""
LEASE_S = 0.2
CLOCK_TICK_S = 0.01
"""How much the filter's clock may lag (CONFIG_HZ=100)."""
NOTICED_S = 0.05
"""From a packet's acceptance on a node to the client's having read the whole answer, if the machine is not too busy."""


def check_takeover(clients: Clients, victim: str, gap_ms_max: float = GAP_MS_MAX) -> None:
    """The victim's clients went to others within the gap; nobody else noticed anything."""
    moved = clients.served_by(victim)
    assert moved
    assert {address: one for address, one in moved.items() if len(one["nodes"]) < 2} == {}
    assert 0 < clients.gap_ms <= gap_ms_max
    for address, client in clients.each.items():
        if address not in moved:
            assert client["failed"] == 0, (address, client["failures"])
            assert len(client["nodes"]) == 1


@pytest.mark.parametrize("victim", ["n1", "n3"])
def test_power_off(farm: Lab, victim: str) -> None:
    """Of the coordinator, and of another."""
    survivors = [node for node in NODES if node != victim]
    before = owners(farm, "n2")
    with watched(farm, timeout_ms=IMPATIENT_MS) as clients:
        farm.kill(victim)
        farm.wait_converged(*survivors)
        wait_answers(clients, 2)
    check_takeover(clients, victim)
    assert {loser for loser, _ in moves(before, owners(farm, "n2"))} == {victim}


def test_a_frozen_daemon_closes_its_filter_and_comes_back(farm: Lab) -> None:
    with watched(farm, timeout_ms=IMPATIENT_MS) as clients:
        farm.freeze("n2")
        frozen_at = time.monotonic()
        farm.wait_converged("n1", "n3")
        wait_answers(clients, 2)
        thawed_at = time.monotonic()
        farm.thaw("n2")
        wait_members(farm, *NODES)
        thawed_until = time.monotonic()
        wait_answers(clients, 2)
    check_takeover(clients, "n2")
    closed = frozen_at + LEASE_S + CLOCK_TICK_S + NOTICED_S
    assert answers_of(clients, "n2", closed, thawed_at) == []
    assert answers_of(clients, "n2", thawed_until, time.monotonic())


def answers_of(clients: Clients, node: str, start: float, end: float) -> list[dict[str, Any]]:
    """Requests that were begun and answered by a node in this time."""
    return [one for one in clients.requests if one["node"] == node and start <= one["start"] and one["end"] <= end]


def test_many_short_freezes(farm: Lab) -> None:
    """Around the lease and the suspicion time: the node is thawed just before or just after others take over."""
    with watched(farm, timeout_ms=IMPATIENT_MS):
        for pause_s in (0.15, 0.2, 0.25, 0.35, 0.39, 0.4, 0.41, 0.45):
            frozen_at = time.monotonic()
            farm.freeze("n2")
            until(lambda: time.monotonic() - frozen_at >= pause_s, "the pause to be over")  # noqa: B023
            farm.thaw("n2")
            wait_members(farm, *NODES)


def test_a_crashed_daemon_is_replaced_and_taken_over(farm: Lab) -> None:
    with watched(farm, timeout_ms=IMPATIENT_MS) as clients:
        crash(farm, "n2")
        farm.wait_converged("n1", "n3")
        wait_answers(clients, 2)
        farm.start("n2")
        farm.wait_converged(*NODES)
        wait_answers(clients, 2)
    check_takeover(clients, "n2")


def test_a_daemon_that_crashes_again_and_again_while_it_starts(farm: Lab) -> None:
    """Killed at moments spread over its start, with and without a compiler. No client of the others notices."""
    farm.stop("n2")
    with watched(farm) as clients:
        for pause_s in (0.1, 0.2, 0.25, 0.3, 0.4, 0.5):
            started_at = time.monotonic()
            farm.machine("n2").start_service(FARMD, services.farmd("n2"), farm.state.log("n2"))
            until(lambda: time.monotonic() - started_at >= pause_s, "the moment to kill")  # noqa: B023
            farm.exec("n2", "pkill", "-KILL", "-f", "bin/farmd")
        still_there = ("pgrep", "-f", "bin/farmd|bpf/compiler")
        until(lambda: farm.exec("n2", *still_there, check=False).returncode == 1, "the last compiler to end")
        farm.start("n2")
        farm.wait_converged(*NODES)
        wait_answers(clients, 2)
    unmoved = [client for client in clients.each.values() if "n2" not in client["nodes"]]
    assert unmoved
    assert all(client["failed"] == 0 for client in unmoved)
    assert clients.answers["n2"] > 0
