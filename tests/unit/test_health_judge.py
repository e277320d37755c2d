"""What a status means to load balancers: the health, and HAProxy's line."""

from __future__ import annotations

from typing import Any

import pytest

from healthcheck.agent import line
from healthcheck.health import Health, Standing, judge, together
from healthcheck.tally import Tally
from tests.unit.statuses import member, service, status

SERVES, DRAINS, STOPPED, FAILS, _ = Standing


def alone(**changes: Any) -> list[dict[str, Any]]:
    """The members of a farm where n1 differs."""
    return [member(1, **changes), member(2)]


NOT_READY: dict[str, Any] = {"ready": False, "reason": "check page fails"}


@pytest.mark.parametrize(
    ("changes", "standing", "reason"),
    [
        ({}, SERVES, ""),
        ({"degraded": True, "failing": ["db"]}, SERVES, ""),
        ({"drain_announced": True}, DRAINS, "it gives its clients away"),
        ({"drain_announced": True, "status": "draining"}, DRAINS, "it gives"),
        # A planned stop of a service: drained first, then not ready, and nothing of it is a failure.
        ({"drain_announced": True, "stopped": True, **NOT_READY}, DRAINS, "it gives"),
        ({"stopped": True, **NOT_READY}, STOPPED, "check page fails"),
        ({"stopped": True, **NOT_READY, "services": [service("nginx", "stopped")]}, STOPPED, "check page fails"),
        ({"stopped": True, **NOT_READY, "services": [service("nginx", "failed")]}, FAILS, "check page fails"),
        (NOT_READY, FAILS, "check page fails"),
        ({**NOT_READY, "failing": ["page"]}, FAILS, "check page fails"),
        ({**NOT_READY, "failing": ["page"], "drain_announced": True}, FAILS, "check page fails"),
        ({"lease": "fenced"}, FAILS, "its filter is closed"),
        ({"status": "joining", "members": alone(status="joining")}, FAILS, "it owns no bucket; its status is joining"),
        ({"members": alone(weight=0)}, DRAINS, "its weight is 0"),
    ],
)
def test_a_status_means(changes: dict[str, Any], standing: Standing, reason: str) -> None:
    health = judge(status(**changes))
    assert health.standing is standing
    assert health.reason.startswith(reason)
    assert bool(health.reason) == (standing is not SERVES)


def test_degraded_and_the_share_are_passed_on() -> None:
    health = judge(status(2, degraded=True))
    assert health.degraded
    assert health.share == 0.5


def test_what_is_no_status_is_not_judged() -> None:
    with pytest.raises(KeyError):
        judge({"members": []} | {key: value for key, value in status().items() if key != "ready"})


def test_several_farms_are_as_good_as_the_worst() -> None:
    one, other = Health(SERVES, "", True, 0.5), Health(DRAINS, "why", False, 0.2)
    assert together([one, other]) == Health(DRAINS, "why", True, 0.2)
    assert together([one]) == one
    assert together([other, Health(FAILS), Health(STOPPED)]).standing is FAILS


def test_a_node_without_a_farm_serves_nobody() -> None:
    assert together([]) == Health(FAILS, "no farm or mirror runs on this node")


@pytest.mark.parametrize(
    ("health", "said"),
    [
        (Health(SERVES, share=1 / 3), "up ready 33%"),
        (Health(SERVES, share=1.0), "up ready 100%"),
        (Health(SERVES, share=0.001), "up ready 1%"),
        (Health(DRAINS, "why", share=0.3), "up drain"),
        (Health(STOPPED, "why"), "maint"),
        (Health(FAILS, "check page\nfails: é"), "down #check page fails: ?"),
    ],
)
def test_haproxy_is_told(health: Health, said: str) -> None:
    assert line(health) == f"{said}\n".encode()


def test_a_long_reason_stays_a_short_line() -> None:
    assert len(line(Health(FAILS, "x" * 10_000))) < 200


def test_packets_count_for_who_owns_their_bucket_and_never_fall() -> None:
    tally = Tally()
    tally.add(["n1", "n2", None], [100, 200, 5])
    assert tally.packets.total() == 0
    tally.add(["n1", "n2", None], [110, 200, 9])
    tally.add(["n2", "n2", "n1"], [113, 201, 9])  # the first bucket has moved
    assert tally.packets == {"n1": 10, "n2": 4}
    tally.add(["n2", "n2", "n1"], [7, 0, 0])  # the filter is a new one
    assert tally.packets == {"n1": 10, "n2": 11}
