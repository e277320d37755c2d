"""Nodes that run their nginx themselves: it dies, hangs, answers nonsense, and is repaired."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.network import Lab
from lab.services import NGINX_SERVICE, PAGE_CHECK, farm_config
from lab.topology import Topology
from lab.waiting import until
from tests.lab.nodes import NODES, crash, farmctl, hang_up, members, moves, owners, status
from tests.lab.supervision import (
    break_page,
    mend,
    mend_page,
    nginx_pid,
    service,
    signal_nginx,
    texts,
    wait_event,
    wait_owns,
)
from tests.lab.test_farm_planned import unnoticed
from tests.lab.watching import wait_answers, watched

pytestmark = pytest.mark.needs_root

FARM_CONFIG = farm_config(Topology(3)) + NGINX_SERVICE + PAGE_CHECK


@pytest.fixture
def supervised(farm: Lab) -> Iterator[Lab]:
    """Three nodes with an nginx each, which are given back mended."""
    yield farm
    mend(farm)
    for node in NODES:  # forgets the restarts
        farmctl(farm, node, "start", "nginx")


def test_a_node_serves_once_its_nginx_answers(supervised: Lab) -> None:
    for node in NODES:
        answer = status(supervised, node)
        assert (answer["ready"], answer["reason"], answer["failing"]) == (True, "", [])
        assert [(one["name"], one["state"]) for one in answer["services"]] == [("nginx", "running")]
        assert [(one["name"], one["kind"], one["state"]) for one in answer["checks"]] == [
            ("nginx", "service", "passing"),
            ("page", "http", "passing"),
        ]
        before_ready = texts(supervised, node)[: texts(supervised, node).index("ready")]
        assert "service nginx runs" in before_ready
        assert all(" 0 buckets here" in text for text in before_ready if "view installed" in text)
    assert {owners(supervised, "n1").count(node) for node in NODES} == {341, 342}


def test_a_dead_nginx_is_restarted(supervised: Lab) -> None:
    before, pid = owners(supervised, "n1"), nginx_pid(supervised, "n2")
    known = len(texts(supervised, "n2"))
    signal_nginx(supervised, "n2", "KILL")
    wait_event(supervised, "n2", "service nginx is restarted (1 of 3 in 24 h)", known)
    wait_event(supervised, "n2", "ready", known)
    supervised.wait_converged(*NODES)
    assert nginx_pid(supervised, "n2") not in ("", pid)
    assert service(supervised, "n2")["restarts"] == 1
    assert all("n2" in move for move in moves(before, owners(supervised, "n1")))


def test_a_hung_nginx_loses_its_clients_at_once_and_is_killed(supervised: Lab) -> None:
    known = len(texts(supervised, "n2"))
    signal_nginx(supervised, "n2", "STOP")
    wait_owns(supervised, "n2", something=False)
    with watched(supervised) as clients:
        wait_answers(clients, 1)
    assert clients.failures == []
    assert "n2" not in clients.answers
    wait_event(supervised, "n2", "service nginx had to be killed", known)
    wait_event(supervised, "n2", "ready", known)
    wait_owns(supervised, "n2", something=True)


def test_a_page_that_comes_back_in_time_restarts_nothing(supervised: Lab) -> None:
    pid, known = nginx_pid(supervised, "n3"), len(texts(supervised, "n3"))
    break_page(supervised, "n3")
    wait_event(supervised, "n3", "check page fails", known)
    mend_page(supervised, "n3")
    wait_event(supervised, "n3", "check page passes", known)
    wait_owns(supervised, "n3", something=True)
    assert nginx_pid(supervised, "n3") == pid


def test_errors_that_a_restart_does_not_mend(supervised: Lab) -> None:
    known = len(texts(supervised, "n2"))
    break_page(supervised, "n2")
    wait_event(supervised, "n2", "check page fails: status 500", known)
    wait_owns(supervised, "n2", something=False)
    wait_event(supervised, "n2", "service nginx is given up after 3 restarts", known, timeout_s=40)
    until(lambda: status(supervised, "n2")["reason"].startswith("service nginx has failed"), "nginx to be stopped")
    answer = status(supervised, "n2")
    assert (answer["ready"], answer["stopped"]) == (False, True)
    mend_page(supervised, "n2")
    started = farmctl(supervised, "n2", "start", "nginx")
    assert started["service"]["state"] == "running"
    assert started["service"]["restarts"] == 0
    wait_owns(supervised, "n2", something=True)


def test_errors_everywhere_change_nothing(supervised: Lab) -> None:
    before = owners(supervised, "n1")
    known = {node: len(texts(supervised, node)) for node in NODES}
    pids = [nginx_pid(supervised, node) for node in NODES]
    break_page(supervised, *NODES)
    for node in NODES:
        wait_event(supervised, node, "check page fails on every node: all serve on", known[node])
    supervised.wait_converged(*NODES)
    answers = [status(supervised, node) for node in NODES]
    assert [(one["ready"], one["degraded"], one["failing"]) for one in answers] == [(True, True, ["page"])] * 3
    assert {owners(supervised, "n1").count(node) for node in NODES} == {341, 342}
    mend_page(supervised, *NODES)
    for node in NODES:
        wait_event(supervised, node, "check page passes", known[node])
    assert [nginx_pid(supervised, node) for node in NODES] == pids
    assert before.count("n1") in (341, 342)


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_killed_farmd_finds_its_nginx_again(supervised: Lab, node: str) -> None:
    pid = nginx_pid(supervised, node)
    crash(supervised, node)
    assert nginx_pid(supervised, node) == pid
    supervised.start(node)
    supervised.wait_converged(*NODES)
    assert nginx_pid(supervised, node) == pid
    assert "service nginx runs already" in texts(supervised, node)


def test_a_farmd_that_starts_anew_leaves_nginx_alone(supervised: Lab) -> None:
    pid = nginx_pid(supervised, "n2")
    with unnoticed(supervised):
        hang_up(supervised, "n2")
        supervised.wait_converged(*NODES)
    assert nginx_pid(supervised, "n2") == pid


def test_the_end_of_farmd_is_the_end_of_nginx(supervised: Lab) -> None:
    with unnoticed(supervised):
        supervised.stop("n2")
        assert nginx_pid(supervised, "n2") == ""
        supervised.start("n2")
        supervised.wait_converged(*NODES)
    assert nginx_pid(supervised, "n2") != ""


def test_a_restart_that_is_asked_for_is_noticed_by_nobody(supervised: Lab) -> None:
    pid = nginx_pid(supervised, "n2")
    with unnoticed(supervised):
        answer = farmctl(supervised, "n2", "restart", "nginx")
        supervised.wait_converged(*NODES)
    assert [event["text"] for event in answer["events"]].count("service nginx is started") == 1
    assert nginx_pid(supervised, "n2") not in ("", pid)


def test_a_service_that_was_stopped_stays_so_until_it_is_started(supervised: Lab) -> None:
    with unnoticed(supervised):
        answer = farmctl(supervised, "n3", "stop", "nginx")
    assert answer["service"]["state"] == "stopped"
    assert nginx_pid(supervised, "n3") == ""
    stopped = status(supervised, "n3")
    assert (stopped["stopped"], stopped["reason"]) == (True, "service nginx was stopped by an operator")
    assert members(supervised, "n1")["n3"]["ready"] is False
    assert "n3" not in owners(supervised, "n1")
    farmctl(supervised, "n3", "start", "nginx")
    wait_owns(supervised, "n3", something=True)
