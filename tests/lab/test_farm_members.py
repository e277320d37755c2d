"""What a node tells about its peers: how far away they are, what comes to them, and whom it took over from."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lab.network import Lab
from lab.waiting import until
from tests.lab.nodes import NODES, members, status
from tests.lab.watching import IMPATIENT_MS, wait_answers, watched

pytestmark = pytest.mark.needs_root

ROUND_TRIP_MS_MAX = 20.0
"""Between machines of one lab, which share two busy processors."""
SUSPICION_MS = 400.0
TAKEOVER_MS_MAX = 1500.0


def test_all_are_ready_where_nothing_is_checked(farm: Lab) -> None:
    for member in members(farm, "n2").values():
        assert (member["ready"], member["failing"], member["drained"]) == (True, [], False)


def test_peers_are_as_far_as_the_network_is_long(farm: Lab) -> None:
    seen = members(farm, "n1")
    assert seen["n1"]["round_trip_ms"] is None
    assert all(0 < seen[node]["round_trip_ms"] < ROUND_TRIP_MS_MAX for node in ("n2", "n3"))


def test_every_node_knows_what_comes_to_all(farm: Lab) -> None:
    with watched(farm):
        until(lambda: all(busy(one) for node in NODES for one in members(farm, node).values()), "traffic to be seen")
    until(lambda: not any(one["traffic"]["accepted_per_s"] for one in members(farm, "n3").values()), "it to be over")


def busy(member: dict[str, Any]) -> bool:
    """Whether a node accepts packets and drops those of the others, for a second in which its lease did not end: the
    lab's processors may be taken away for longer than that."""
    traffic = member["traffic"]
    assert traffic is not None
    return bool(traffic["accepted_per_s"] and traffic["dropped_per_s"] and not traffic["fenced_per_s"])


def test_of_a_silent_node_nothing_is_known(farm: Lab) -> None:
    farm.freeze("n2")
    farm.wait_converged("n1", "n3")
    silent = members(farm, "n1")["n2"]
    assert (silent["ready"], silent["round_trip_ms"], silent["traffic"]) == (False, None, None)


def test_a_takeover_is_counted_with_the_silence_before_it(farm: Lab) -> None:
    before = status(farm, "n1")["takeovers"]
    with watched(farm, timeout_ms=IMPATIENT_MS) as clients:
        farm.kill("n3")
        died_at = time.monotonic()
        farm.wait_converged("n1", "n2")
        most_ms = (time.monotonic() - died_at) * 1000 + SUSPICION_MS
        wait_answers(clients, 2)
    after = status(farm, "n1")["takeovers"]
    assert after["count"] == before["count"] + 1
    assert SUSPICION_MS <= after["last_ms"] <= min(TAKEOVER_MS_MAX, most_ms)
    assert after["sum_ms"] == pytest.approx(before["sum_ms"] + after["last_ms"])


def test_what_is_given_is_not_taken_over(farm: Lab) -> None:
    before = status(farm, "n1")["takeovers"]
    farm.stop("n3")
    farm.wait_converged("n1", "n2")
    assert status(farm, "n1")["takeovers"] == before
