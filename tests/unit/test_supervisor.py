"""The supervisor's corners; its life is told by the transcripts in tests/scenarios/supervisor."""

from __future__ import annotations

import pytest

from farmd.core.duties import CheckDuty, Duties, Limit, ServiceDuty
from farmd.core.life import FOREVER_NS, State
from farmd.core.settings import MS
from farmd.core.supervision_events import Probed, Started, Stopped
from farmd.core.supervisor import Supervisor
from farmd.core.supervisor_events import (
    Action,
    BeginService,
    Elapsed,
    EndService,
    Event,
    Finished,
    ProbeNow,
    Quit,
    Remark,
    ReportHealth,
    Surroundings,
    Wish,
)

ROUND_MS = 1000
RELEASE_MS = 800
RELEASED = Surroundings(released=True)


def check(name: str = "http", reaction: str = "restart", **more: object) -> CheckDuty:
    given = {"services": ("nginx",), "serve_on": True, "round_ns": ROUND_MS * MS, "doubt_ns": 10_000 * MS} | more
    return CheckDuty(name, reaction, **given)  # type: ignore[arg-type]


def alive(name: str = "nginx", restarts: int = 3) -> CheckDuty:
    limit = Limit(restarts, 60_000 * MS)
    return CheckDuty(name, "restart", alive=True, services=(name,), limit=limit, doubt_ns=10_000 * MS)


class Node:
    """A supervisor, and the time."""

    def __init__(self, *checks: CheckDuty, services: tuple[str, ...] = ("nginx",), announce_ms: int = 0) -> None:
        duties = Duties(
            tuple(ServiceDuty(name, start_timeout_ns=5000 * MS, pause_ns=0) for name in services),
            (*(alive(name) for name in services), *checks),
            announce_ns=announce_ms * MS,
            drain_ns=30_000 * MS,
            release_ns=RELEASE_MS * MS,
        )
        self.now_ms = 0
        self.core = Supervisor(duties, 0)

    def step(self, event: Event, after_ms: int = 0) -> list[Action]:
        """What it does, without what it says."""
        self.now_ms += after_ms
        actions = self.core.step(self.now_ms * MS, event)
        return [action for action in actions if not isinstance(action, Remark)]

    def probe(self, name: str, passed: bool, times: int = 1) -> list[Action]:
        seen: list[Action] = []
        for _ in range(times):
            seen += self.step(Probed(name, passed, "" if passed else "no answer", 1.0))
        return seen

    def up(self) -> Node:
        """All services found running, all checks passing."""
        for name in self.core.checks:
            self.probe(name, True)
        assert self.core.ready
        return self


def test_without_services_and_checks_it_is_ready_and_waits_for_nothing() -> None:
    core = Supervisor(Duties(), 0)
    assert core.ready
    assert core.deadline_ns == FOREVER_NS
    assert core.step(1, Quit()) == []
    assert core.step(2, Surroundings(left=True)) == [Finished()]
    assert core.step(3, Surroundings(left=True)) == []


def test_it_is_not_ready_before_every_check_has_passed() -> None:
    node = Node(check(), check("ping", "release", services=()))
    assert node.probe("nginx", True) == []
    assert node.probe("http", True) == []
    assert node.core.reason == "check ping has no result yet"
    assert node.probe("ping", True) == [ReportHealth(True, ())]


def test_what_the_membership_said_of_a_ready_node_does_not_stop_a_service() -> None:
    """It was about buckets that may have come since."""
    node = Node().up()
    node.step(RELEASED)
    assert node.step(Wish("nginx", "stop")) == [ReportHealth(False, ())]
    assert node.step(Elapsed()) == []
    assert node.step(RELEASED) == [EndService("nginx")]


def test_a_planned_stop_waits_for_flows_and_a_broken_service_does_not() -> None:
    flows = Surroundings(released=True, flows=True)
    planned, broken = Node().up(), Node().up()
    planned.step(Wish("nginx", "stop"))
    assert planned.step(flows) == []
    assert planned.step(RELEASED) == [EndService("nginx")]
    broken.probe("nginx", False)
    assert broken.step(flows) == [EndService("nginx")]


def test_a_broken_service_does_not_wait_long_for_its_buckets_to_move() -> None:
    node = Node().up()
    node.probe("nginx", False)
    assert node.core.deadline_ns == RELEASE_MS * MS
    assert node.step(Elapsed(), RELEASE_MS - 1) == []
    assert node.step(Elapsed(), 1) == [EndService("nginx")]


def test_a_stop_that_hangs_is_forced_and_one_that_hangs_nevertheless_is_a_failure() -> None:
    node = Node().up()
    node.step(Wish("nginx", "stop"))
    node.step(RELEASED)
    assert node.step(Stopped("nginx", False, "process 7 lives", forced=False)) == [EndService("nginx", force=True)]
    assert node.step(Stopped("nginx", False, "process 7 lives", forced=True)) == []
    assert node.core.lives["nginx"].state is State.FAILED
    assert node.core.reason == "service nginx has failed: it cannot be stopped: process 7 lives"


def test_a_start_looks_first_whether_it_runs() -> None:
    node = Node().up()
    node.step(Wish("nginx", "stop"))
    node.step(RELEASED)
    node.step(Stopped("nginx", True, "", forced=False))
    assert node.step(Wish("nginx", "start")) == [ProbeNow(("nginx",))]
    assert node.probe("nginx", True) == [ReportHealth(True, ())]


def test_the_window_of_restarts_moves_on() -> None:
    node = Node().up()
    for _ in range(3):
        node.probe("nginx", False)
        node.step(RELEASED)
        assert BeginService("nginx") in node.step(Stopped("nginx", True, "", forced=False))
        node.step(Started("nginx", True, ""))
        node.probe("nginx", True)
    assert node.core.lives["nginx"].restarts_within(alive().limit, 59_999 * MS) == 3
    node.now_ms = 60_000
    node.probe("nginx", True)
    node.probe("nginx", False)
    assert node.core.lives["nginx"].state is State.RELEASING
    assert node.core.lives["nginx"].wanted


def test_a_failing_start_that_nobody_wants_any_more_is_no_failure() -> None:
    node = Node()
    assert BeginService("nginx") in node.probe("nginx", False)
    node.step(Wish("nginx", "stop"))
    node.step(Started("nginx", False, "exit code 1"))
    node.step(RELEASED)
    node.step(Stopped("nginx", True, "", forced=False))
    life = node.core.lives["nginx"]
    assert (life.state, life.restarts) == (State.STOPPED, [])


def test_a_stop_is_announced_only_by_what_serves() -> None:
    node = Node(check(), announce_ms=2000)
    node.probe("nginx", True)
    node.probe("http", False)
    assert node.step(Wish("nginx", "stop")) == [ReportHealth(False, ())]
    assert node.step(RELEASED) == [EndService("nginx")]


# -- what everybody fails ----------------------------------------------------------------------------------------------


def test_a_check_that_others_may_fail_too_is_reported_at_once_and_acted_upon_after_a_round() -> None:
    node = Node(check()).up()
    assert node.probe("http", False) == [ReportHealth(True, ("http",))]
    node.step(RELEASED)
    assert node.core.deadline_ns == ROUND_MS * MS
    assert node.step(Elapsed(), ROUND_MS - 1) == []
    assert node.step(Elapsed(), 1) == [ReportHealth(False, ("http",))]
    assert node.step(RELEASED) == [EndService("nginx")]


def test_a_check_that_is_nobody_elses_business_is_acted_upon_at_once() -> None:
    node = Node(check(serve_on=False)).up()
    assert node.probe("http", False) == [ReportHealth(False, ("http",))]


def test_what_everybody_fails_restarts_nobody_until_a_round_after_it_has_ended() -> None:
    node = Node(check()).up()
    node.probe("http", False)
    everyone = Surroundings(released=False, everyone_fails=frozenset({"http"}))
    assert node.step(everyone, ROUND_MS - 1) == []
    assert node.step(Elapsed(), 5 * ROUND_MS) == []
    node.probe("http", False)
    node.probe("nginx", True)
    assert node.step(Surroundings()) == []
    assert node.step(Elapsed(), ROUND_MS - 1) == []
    assert node.step(Elapsed(), 1) == [ReportHealth(False, ("http",))]


def test_a_check_of_a_service_that_was_stopped_is_no_evidence_against_all() -> None:
    node = Node(check()).up()
    node.step(Wish("nginx", "stop"))
    node.step(RELEASED)
    node.step(Stopped("nginx", True, "", forced=False))
    node.probe("http", False, times=3)
    assert node.core.failing == ()


def test_a_new_service_is_not_ready_because_everybody_fails_its_check_while_it_warms_up() -> None:
    node = Node(check())
    node.probe("nginx", False)
    node.step(Started("nginx", True, ""))
    node.probe("nginx", True)
    node.probe("http", False)
    everyone = Surroundings(released=True, everyone_fails=frozenset({"http"}))
    assert node.step(everyone) == []
    assert not node.core.ready
    assert node.step(Elapsed(), 5000) == [ReportHealth(True, ("http",))]


# -- doubt -------------------------------------------------------------------------------------------------------------


def test_doubt_does_not_make_ready_what_was_not() -> None:
    node = Node(check("ping", "release", services=(), serve_on=False)).up()
    node.probe("ping", False)
    assert not node.core.ready
    node.now_ms += 10_000
    assert node.probe("ping", True) == [ReportHealth(False, ("nginx",))]
    assert node.core.reason == "check nginx gives no results any more"
    assert node.probe("nginx", True) == [ReportHealth(True, ())]


# -- the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forced", [False, True])
def test_at_the_end_services_stop_when_the_node_has_left(forced: bool) -> None:
    node = Node(services=("database", "app")).up()
    assert node.step(Quit(forced)) == []
    assert node.core.ready
    assert node.step(RELEASED) == []
    assert node.step(Surroundings(left=True)) == [EndService("app", forced), ReportHealth(False, ())]
    assert node.step(Stopped("app", True, "", forced)) == [EndService("database", forced)]
    assert node.step(Stopped("database", True, "", forced)) == [Finished()]


def test_at_the_end_nothing_is_restarted() -> None:
    node = Node().up()
    node.step(Quit())
    assert node.probe("nginx", False) == [ReportHealth(False, ("nginx",))]
    assert node.step(Elapsed(), 10_000) == []


def test_a_start_under_way_is_awaited_at_the_end_and_killed_when_that_is_asked_for() -> None:
    node = Node()
    node.probe("nginx", False)
    node.step(Quit())
    assert node.step(Surroundings(left=True)) == []
    assert node.step(Quit(forced=True)) == [EndService("nginx", force=True)]
    assert node.step(Started("nginx", False, "killed")) == []
    assert node.step(Stopped("nginx", True, "", forced=True)) == [Finished()]


def test_a_service_that_nobody_has_looked_at_yet_is_stopped_at_the_end() -> None:
    node = Node()
    node.step(Quit())
    assert node.step(Surroundings(left=True)) == [EndService("nginx")]
