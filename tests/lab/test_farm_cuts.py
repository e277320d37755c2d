"""Cuts in the network between nodes, and their healing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lab.network import Lab
from lab.waiting import until
from tests.lab.nodes import NODES, members, moves, owners, status, wait_members
from tests.lab.watching import IMPATIENT_MS, Clients, downloading, wait_answers, watched

pytestmark = pytest.mark.needs_root

ROUNDS = 12
"""So many requests of every client take longer than any time-out of the protocol (see watching.INTERVAL_MS)."""


def test_a_node_that_one_other_does_not_hear_closes(farm: Lab) -> None:
    """It hears both, and one of them hears it; still it cannot know what the deaf one will do."""
    with watched(farm, timeout_ms=IMPATIENT_MS) as clients:
        farm.cut("n2", "n1", one_way=True)
        wait_members(farm, "n1", "n3")
        alone = status(farm, "n2")
        wait_answers(clients, 2)
        farm.heal()
        wait_members(farm, *NODES)
        wait_answers(clients, 2)
    assert alone["lease"] == "fenced"
    assert alone["status"] == "joining"
    assert {address for address, one in clients.each.items() if one["failed"]} <= clients.served_by("n2").keys()


@pytest.mark.parametrize("pair", [("n1", "n2"), ("n2", "n3")])
def test_two_nodes_that_a_third_one_hears_go_on(farm: Lab, pair: tuple[str, str]) -> None:
    """Nobody can be left out, since the third would not agree; so the old view stays, which is safe."""
    before = owners(farm, "n3")
    with watched(farm) as clients:
        farm.cut(*pair)
        until(lambda: not members(farm, pair[0])[pair[1]]["heard"], "the silence to be noticed")
        wait_answers(clients, ROUNDS)
        assert [status(farm, node)["lease"] for node in NODES] == ["held"] * 3
        farm.heal()
        until(lambda: members(farm, pair[0])[pair[1]]["heard"], "the end of the silence to be noticed")
        wait_members(farm, *NODES)
        wait_answers(clients, 2)
    assert clients.failures == []
    assert moves(before, owners(farm, "n3")) == set()


def test_short_losses_are_survived(farm: Lab) -> None:
    """Shorter than the suspicion time, and one that comes just as it ends."""
    with watched(farm, timeout_ms=IMPATIENT_MS):
        for pause_s in (0.1, 0.2, 0.3, 0.35, 0.4, 0.6):
            cut_at = time.monotonic()
            farm.cut("n2", "n1,n3", one_way=True)
            until(lambda: time.monotonic() - cut_at >= pause_s, "the cut to last")  # noqa: B023
            farm.heal()
            wait_members(farm, *NODES)


def test_a_partition_serves_both_sides_and_heals(farm: Lab) -> None:
    """Downloads that began on both sides of it survive the healing.

    For that, both sides must have found out that it is no crash: then they no longer reset flows that they do not
    know (Settings.settle_ns). New clients of the first moment may be answered by both sides, until those hear each
    other; there are none here.
    """
    farm.cut("n1,lan", "n2,n3,far")
    wait_members(farm, "n1")
    wait_members(farm, "n2", "n3")
    with watched(farm, timeout_ms=IMPATIENT_MS) as clients:
        until(lambda: all(status(farm, node)["moving"] == 1024 for node in NODES), "both to know", timeout_s=30)
    assert clients.failures == []
    assert {node for one in near(clients).values() for node in one["nodes"]} == {"n1"}
    assert {node for one in distant(clients).values() for node in one["nodes"]} == {"n2", "n3"}
    with downloading(farm, count=200, seconds=5) as downloads:
        farm.heal()
        wait_members(farm, *NODES)
        assert downloads.finish() == []
    assert downloads.nodes().keys() == set(NODES)
    with watched(farm) as clients:
        pass
    assert clients.failures == []
    assert clients.steady


def near(clients: Clients) -> dict[str, Any]:
    """The clients of the LAN."""
    return {address: one for address, one in clients.each.items() if address.startswith(("10.0.1.", "fd00:"))}


def distant(clients: Clients) -> dict[str, Any]:
    """The clients behind the router."""
    return {address: one for address, one in clients.each.items() if address not in near(clients)}


def test_a_clients_bucket_is_open_once_when_a_partition_heals(farm: Lab) -> None:
    """Once all agree again, a question has one answer, whichever side the client was on."""
    farm.cut("n1,lan", "n2,n3,far")
    wait_members(farm, "n1")
    wait_members(farm, "n2", "n3")
    farm.heal()
    wait_members(farm, *NODES)
    with watched(farm) as clients:
        assert len(set(map(tuple, (owners(farm, node) for node in NODES)))) == 1
    assert clients.failures == []
    assert clients.served_by("n1").keys() & {*near(clients)}
    assert clients.served_by("n1").keys() & {*distant(clients)}
