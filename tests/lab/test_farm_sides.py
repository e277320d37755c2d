"""Who may serve when the farm is split in two, where the configuration says so; and two heartbeat networks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.network import Lab
from lab.services import farm_config
from lab.topology import FAR, LAN, ROUTER_LAN, Topology
from lab.waiting import until
from tests.lab.nodes import NODES, status, wait_members
from tests.lab.test_topology import name
from tests.lab.watching import IMPATIENT_MS, Clients, wait_answers, watched

pytestmark = pytest.mark.needs_root


@contextmanager
def a_farm(suffix: str, *settings: str, networks: int = 1) -> Iterator[Lab]:
    """Three converged nodes with more settings in [farm]."""
    text = farm_config(Topology(3, networks)).replace("[farm]\n", "\n".join(["[farm]", *settings, ""]))
    with Lab(name(suffix), networks=networks, config=text) as lab:
        yield lab


@pytest.fixture(scope="module")
def majority() -> Iterator[Lab]:
    with a_farm("majority", 'quorum = "majority"') as lab:
        yield lab


@pytest.fixture(scope="module")
def witnessed() -> Iterator[Lab]:
    with a_farm("witness", f'witness = ["{ROUTER_LAN[0]}"]') as lab:
        yield lab


def answered_since(clients: Clients, start: float, place: str) -> bool:
    """Whether a place's clients got any answer to what they asked after this time."""
    first = {LAN: ("10.0.1.", "fd00:"), FAR: ("192.168.7.", "fd07:")}[place]
    return any(one["start"] > start and one["node"] and one["client"].startswith(first) for one in clients.requests)


def split(farm: Lab, loser: str, winners: str) -> None:
    """Cut the farm in two; returns when the losing side is fenced and the winners agree."""
    farm.cut(loser, winners)
    outside = [place for place in loser.split(",") if place in NODES]
    until(lambda: all(status(farm, node)["lease"] == "fenced" for node in outside), "the losing side to be fenced")
    wait_members(farm, *(place for place in winners.split(",") if place in NODES))


def check_split(farm: Lab, loser: str, winners: str, *, silent: str, served: str) -> None:
    """The silent place's clients are on the losing side and get no answer; the others go on; healing mends it."""
    with watched(farm, timeout_ms=IMPATIENT_MS) as clients:
        split(farm, loser, winners)
        since = time.monotonic()
        wait_answers(clients, 3)
        assert not answered_since(clients, since, silent)
        assert answered_since(clients, since, served)
        farm.heal()
        wait_members(farm, *NODES)
        healed = time.monotonic()
        wait_answers(clients, 3)
    assert answered_since(clients, healed, silent)


def test_with_a_majority_rule_the_minority_fences_itself(majority: Lab) -> None:
    check_split(majority, "n1,lan", "n2,n3,far", silent=LAN, served=FAR)


def test_with_a_majority_rule_nobody_is_answered_twice_although_clients_see_both_sides(majority: Lab) -> None:
    """Only the heartbeats are cut: every frame of a client reaches n1 as well as n2 and n3."""
    with watched(majority, timeout_ms=IMPATIENT_MS) as clients:
        split(majority, "n1", "n2,n3")
        wait_answers(clients, 2)
        majority.heal()
        wait_members(majority, *NODES)
        wait_answers(clients, 2)
    unmoved = [one for one in clients.each.values() if "n1" not in one["nodes"]]
    assert unmoved
    assert all(one["failed"] == 0 for one in unmoved)


def test_with_a_majority_rule_two_of_three_survive_the_third(majority: Lab) -> None:
    with watched(majority, timeout_ms=IMPATIENT_MS) as clients:
        majority.kill("n3")
        wait_members(majority, "n1", "n2")
        wait_answers(clients, 2)
    majority.start("n3")
    wait_members(majority, *NODES)
    assert all(one["failed"] == 0 for one in clients.each.values() if "n3" not in one["nodes"])


def test_with_a_witness_the_side_without_it_fences_itself(witnessed: Lab) -> None:
    check_split(witnessed, "n1,lan", "n2,n3,far", silent=LAN, served=FAR)


def test_with_a_witness_one_node_may_outlive_two(witnessed: Lab) -> None:
    check_split(witnessed, "n2,n3,lan", "n1,far", silent=LAN, served=FAR)


def test_with_a_witness_a_crash_is_no_split(witnessed: Lab) -> None:
    """The survivors ask the witness and are not interrupted."""
    with watched(witnessed, timeout_ms=IMPATIENT_MS) as clients:
        witnessed.kill("n3")
        wait_members(witnessed, "n1", "n2")
        wait_answers(clients, 2)
    witnessed.start("n3")
    wait_members(witnessed, *NODES)
    assert all(one["failed"] == 0 for one in clients.each.values() if "n3" not in one["nodes"])


def test_of_two_heartbeat_networks_one_is_enough() -> None:
    with a_farm("networks", networks=2) as farm, watched(farm) as clients:
        epoch = status(farm, "n1")["epoch"]
        for network in (1, 2):
            farm.cut("n1", "n2,n3", network=network)
            farm.cut("n2", "n3", network=network)
            wait_answers(clients, 6)
            assert [status(farm, node)["epoch"] for node in NODES] == [epoch] * 3
            assert all(member["heard"] for node in NODES for member in status(farm, node)["members"])
            farm.heal()
    assert clients.failures == []
