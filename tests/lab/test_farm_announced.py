"""A drain that is announced: it can be seen on the node before any bucket moves."""

from __future__ import annotations

import signal
import time

import pytest

from lab.network import Lab
from lab.services import farm_config
from lab.topology import Topology
from lab.waiting import until
from tests.lab.nodes import NODES, farmctl, owners, status
from tests.lab.watching import watched

pytestmark = pytest.mark.needs_root

AHEAD_S = 3.0
FARM_CONFIG = farm_config(Topology(3), farm=f"drain_ahead_s = {AHEAD_S}")
LATE_S = 2.0
"""On a busy machine, from the time of the drain until it is seen to be carried out."""


def announced(farm: Lab, node: str) -> bool:
    answer = farm.farm_status(node)
    return answer is not None and bool(answer["drain_announced"])


def owned(farm: Lab, node: str) -> int:
    """How many buckets n3 sees with a node."""
    answer = farm.farm_status("n3")
    assert answer is not None
    return next(int(member["buckets"]) for member in answer["members"] if member["name"] == node)


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_stop_is_announced_before_buckets_move(farm: Lab, node: str) -> None:
    before = owned(farm, node)
    with watched(farm) as clients:
        asked_at = time.monotonic()
        farm.exec(node, "kill", f"-{signal.SIGTERM}", str(status(farm, node)["pid"]))
        until(lambda: announced(farm, node), "the announcement")
        assert owned(farm, node) == before
        until(lambda: owned(farm, node) == 0, "the buckets to move")
        assert AHEAD_S <= time.monotonic() - asked_at <= AHEAD_S + LATE_S
        until(lambda: farm.farmd_pid(node) is None, "farmd to end")
    assert clients.failures == []


def test_who_is_asked_twice_to_stop_does_not_wait(farm: Lab) -> None:
    pid = str(status(farm, "n2")["pid"])
    asked_at = time.monotonic()
    farm.exec("n2", "kill", f"-{signal.SIGTERM}", pid)
    until(lambda: announced(farm, "n2"), "the announcement")
    farm.exec("n2", "kill", f"-{signal.SIGTERM}", pid)
    until(lambda: owned(farm, "n2") == 0, "the buckets to move")
    assert time.monotonic() - asked_at < AHEAD_S
    until(lambda: farm.farmd_pid("n2") is None, "farmd to end")


def test_farmctl_waits_until_an_announced_drain_is_carried_out(farm: Lab) -> None:
    before = owners(farm, "n1")
    asked_at = time.monotonic()
    assert farmctl(farm, "n3", "drain", "n2")["drain_announced"] is False, "that is n3's"
    assert time.monotonic() - asked_at >= AHEAD_S
    assert "n2" not in owners(farm, "n1")
    assert status(farm, "n2")["drain_announced"]
    farmctl(farm, "n1", "undrain", "n2")
    assert {node: owners(farm, node).count("n2") for node in NODES} == dict.fromkeys(NODES, before.count("n2"))
