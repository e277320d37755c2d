"""What farmctl waits for when it has ordered that another node serves, and what it says when that does not come."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from lab import services
from lab.mirror import NODES, MirrorLab, quick
from lab.waiting import until
from tests.lab.mirrors import other, restore
from tests.lab.test_mirror_control import farmctl, sentence
from tests.lab.test_topology import name

pytestmark = pytest.mark.needs_root

START_S = 2.0
APPLICATION = f"""
[[service]]
name = "slow"
start = "/bin/sh -c 'test ! -e /run/broken || exit 1; sleep {START_S:g}; sleep inf & echo $! > /run/slow.pid'"
stop = "/bin/sh -c 'kill $(cat /run/slow.pid)'"
max_restarts = 0
"""


@pytest.fixture(scope="module")
def built() -> Iterator[MirrorLab]:
    with MirrorLab(name("mirror-waiting"), [quick() + APPLICATION]) as lab:
        yield lab


@pytest.fixture
def served(built: MirrorLab) -> str:
    """The node of a pair in sync that serves, and is ready."""
    for node in NODES:
        built.exec(node, "rm", "-f", "/run/broken")
    restore(built)
    (served,) = built.serving()
    for node in NODES:
        farmctl(built, node, "start")  # what was given up is tried again
    built.wait(served, role="PRIM", readiness="ready", in_sync=True)
    return served


@pytest.mark.parametrize("asked_there", [False, True])
def test_a_swap_is_done_when_the_application_is_ready_where_it_is_now(
    built: MirrorLab, served: str, asked_there: bool
) -> None:
    there = other(served)
    began_s = time.monotonic()
    done = farmctl(built, there if asked_there else served, "swap")
    assert (done.stdout, done.returncode) == (f"node {there} serves now\n", 0)
    assert (built.status(there)["role"], built.status(there)["readiness"]) == ("PRIM", "ready")
    assert time.monotonic() - began_s > START_S


def test_who_does_not_wait_has_only_given_the_order(built: MirrorLab, served: str) -> None:
    done = farmctl(built, served, "swap", "--no-wait")
    assert (done.stdout, done.returncode) == ("the order is given\n", 0)
    now = built.status(other(served))
    assert (now["role"], now["readiness"]) != ("PRIM", "ready")
    built.wait(other(served), role="PRIM", readiness="ready")


def test_what_is_not_ready_in_time_is_said(built: MirrorLab, served: str) -> None:
    there = other(served)
    assert sentence(farmctl(built, served, "swap", "--timeout", "1.5")) == (
        "the order is given, but the node that is to serve is not ready within 1.5 s: node "
        f"{there} serves, and its application is not ready; `farmctl status` there says why"
    )
    built.wait(there, role="PRIM", readiness="ready")


def test_who_ends_the_waiting_undoes_nothing(built: MirrorLab, served: str) -> None:
    with built.popen(served, *services.farmctl("swap"), stdout=subprocess.PIPE) as swap:
        until(lambda: built.status(served)["role"] == "SECOND", "the hand-over")
        built.exec(served, "sh", "-c", "kill -INT $(pgrep --full '[f]armctl.* swap$')")
        assert swap.communicate(timeout=10)[0] == b""
    assert swap.returncode == 130
    built.wait(other(served), role="PRIM", readiness="ready")


def test_an_application_that_comes_back_has_not_changed_places(built: MirrorLab, served: str) -> None:
    built.exec(other(served), "touch", "/run/broken")
    told = sentence(farmctl(built, served, "swap"))
    assert told == f"the nodes have changed places, and back: node {served} serves"


def test_a_promoted_node_is_waited_for_too(built: MirrorLab, served: str) -> None:
    there = other(served)
    built.stop(there)
    built.wait(served, role="ALONE")
    built.stop(served)
    built.start(there)
    built.wait(there, role="WAIT", reason=f"node {served} is not heard, and the data here was outdated")
    done = farmctl(built, there, "promote", "--force-outdated")
    assert done.stdout == f"node {there} serves now, ALONE\n"
    assert built.status(there)["readiness"] == "ready"
