"""The health page on the nodes of a real farm, while daemons leave, drain, freeze and die, and what it costs them."""

from __future__ import annotations

import itertools
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from farmd.errors import MachineError
from farmd.kit import control
from lab import services
from lab.network import FARM_HEALTH, Lab
from lab.page import Page
from lab.processes import status_field
from lab.services import HEALTH_SETTINGS, METRICS_PORT, curl
from lab.topology import Topology
from lab.waiting import until
from tests.lab.nodes import NODES, crash, farmctl, hang_up, members, settled
from tests.lab.watching import VIP, watched

pytestmark = pytest.mark.needs_root

AHEAD_S = 0.5
FARM_CONFIG = services.farm_config(Topology(len(NODES)), f"drain_ahead_s = {AHEAD_S}")
LEASE_S = 0.2
PROMPT_S = 0.3
"""Ample for what takes some milliseconds, on a machine that carries three nodes and everything else."""


@pytest.fixture
def shown(farm: Lab) -> Lab:
    """A farm with a health page on every node."""
    for node in NODES:
        if farm.machine(node).service(FARM_HEALTH) is None:
            farm.start_health(node, HEALTH_SETTINGS + 'farms = ["web"]\n')
    return farm


@pytest.fixture
def page(shown: Lab) -> Iterator[Page]:
    """n2's, which is well."""
    with Page(shown, "n2") as found:
        found.wait(200)
        yield found


def control_socket(lab: Lab, node: str) -> Path:
    return lab.machine(node).path("/run/farmd/web.sock")


def metrics(lab: Lab, node: str) -> dict[str, float]:
    """A node's samples, by name and labels as they are written."""
    text = lab.exec(node, *curl(f"http://127.0.0.1:{METRICS_PORT}/metrics")).stdout
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


# Metrics.


def accepted(found: dict[str, float]) -> float:
    """All that the filter has passed."""
    return sum(value for name, value in found.items() if re.search(r'outcome="(owned|filling|draining)"', name))


def owners(found: dict[str, float]) -> dict[str, float]:
    """Packets by the owner of their bucket."""
    pattern = re.compile(r'farmd_owner_packets_total\{.*owner="(\w+)"\}')
    return {match[1]: value for name, value in found.items() if (match := pattern.match(name))}


def test_packets_are_counted_for_the_owner_of_their_bucket(shown: Lab) -> None:
    for node in NODES:
        settled(shown, node)  # a node accepts what remains of old flows in a bucket that it has given away
    before = {node: metrics(shown, node) for node in NODES}
    with watched(shown, targets=(VIP,)) as clients:
        pass
    assert clients.requests
    for node, then in before.items():

        def counted(node: str = node, then: dict[str, float] = then) -> bool:
            now = metrics(shown, node)
            grown = {owner: packets - owners(then).get(owner, 0) for owner, packets in owners(now).items()}
            return sum(grown.values()) == grown[node] == accepted(now) - accepted(then) > 0

        until(counted, f"{node}'s packets to be counted for it, and for nobody else")


def test_every_counter_of_the_filter_is_a_metric(shown: Lab) -> None:
    names = set(re.findall(r'outcome="(\w+)"', " ".join(metrics(shown, "n1"))))
    assert names == set(farmctl(shown, "n1", "status")["counters"])


# What the daemon tells.


def test_a_daemon_that_is_watched_is_never_silent_for_half_of_its_lease(farm: Lab) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5.0)
        connection.connect(str(control_socket(farm, "n1")))
        connection.sendall(b'{"verb": "watch"}\n')
        lines = connection.makefile("rb")
        said = [json.loads(lines.readline()) for _ in range(60)]
    times_ns = [line["said_ns"] for line in said]
    gaps_s = [(after - before) / 1e9 for before, after in itertools.pairwise(times_ns)]
    statuses_ns = [line["said_ns"] for line in said if "alive" not in line]
    assert "members" in said[0]
    assert max(gaps_s) <= LEASE_S / 2
    assert max(after - before for before, after in itertools.pairwise(statuses_ns)) < 1.3e9
    assert len(statuses_ns) < len(said) / 5


def test_every_member_tells_of_a_change_at_once(farm: Lab) -> None:
    one, another = (control.watch(control_socket(farm, node), 5.0, buckets=True) for node in ("n1", "n3"))
    with closing(one) as own, closing(another) as other:
        first = next(other)
        assert first["buckets"]["owners"].count("n1") == first["members"][0]["buckets"]
        assert not next(own)["drain_announced"]
        begin = time.monotonic()
        control.call(control_socket(farm, "n2"), "drain", 5.0, node="n1")
        announced = next(status for status in own if status["drain_announced"])
        assert announced["members"][0]["buckets"], "not before drain_ahead_s"
        assert time.monotonic() - begin < PROMPT_S
        moved = next(status for status in other if not status["members"][0]["buckets"])
        assert "n1" not in moved["buckets"]["owners"]
        assert time.monotonic() - begin < AHEAD_S + PROMPT_S


def test_a_watcher_that_does_not_read_disturbs_nobody(farm: Lab) -> None:
    with socket.socket(socket.AF_UNIX) as deaf, watched(farm, count=16) as clients:
        deaf.connect(str(control_socket(farm, "n1")))
        deaf.sendall(b'{"verb": "watch", "buckets": true}\n')
        with closing(control.watch(control_socket(farm, "n1"), 5.0)) as other:
            resident_kb = int(status_field(farm.farmd_pid("n1") or 0, "VmRSS").split()[0])
            for _ in range(4):
                assert next(other)["converged"]
        grown_kb = int(status_field(farm.farmd_pid("n1") or 0, "VmRSS").split()[0]) - resident_kb
        assert grown_kb < 2000
    assert clients.failures == []


def test_a_daemon_that_ends_says_so_by_closing(farm: Lab) -> None:
    with closing(control.watch(control_socket(farm, "n2"), 5.0)) as statuses:
        next(statuses)
        farm.stop("n2")
        with pytest.raises(MachineError, match="closed the connection"):
            list(statuses)


# What the page makes of it.


def test_the_page_belongs_to_a_user_who_may_do_nothing(shown: Lab) -> None:
    process = shown.machine("n1").service(FARM_HEALTH)
    assert process is not None
    account = shown.exec("n1", "id", "-u", "farmd").stdout.strip()
    assert status_field(process.pid, "Uid").split() == [account] * 4
    assert status_field(process.pid, "Groups").split() == [shown.exec("n1", "id", "-g", "farmd").stdout.strip()]
    assert {status_field(process.pid, f"Cap{which}") for which in ("Eff", "Prm", "Inh")} == {"0" * 16}


def test_a_drain_is_visible_before_buckets_move(shown: Lab, page: Page) -> None:
    with Page(shown, "n1") as other:
        begin = time.monotonic()
        control.call(control_socket(shown, "n1"), "drain", 5.0, node="n2")
        assert page.wait(404, begin) - begin < PROMPT_S
        until(lambda: not members(shown, "n1")["n2"]["buckets"], "n2 to own nothing")
        assert time.monotonic() - begin > AHEAD_S
        assert page.status == 404, "its connections stay until they end"
        begin = time.monotonic()
        farmctl(shown, "n1", "undrain", "n2")
        page.wait(200, begin)
        assert {status for _, status in other.seen} == {200}


def test_a_planned_stop_is_announced_and_then_a_failure_until_it_is_back(shown: Lab, page: Page) -> None:
    begin = time.monotonic()
    shown.stop("n2")
    assert page.wait(404, begin) - begin < PROMPT_S
    page.wait(503, begin)
    begin = time.monotonic()
    shown.start("n2")
    page.wait(200, begin)


def test_a_frozen_daemon_is_503_within_its_lease(shown: Lab, page: Page) -> None:
    begin = time.monotonic()
    shown.freeze("n2")
    assert page.wait(503, begin) - begin < LEASE_S + PROMPT_S
    begin = time.monotonic()
    shown.thaw("n2")
    page.wait(200, begin)


def test_a_dead_daemon_is_503_at_once_and_its_successor_is_found(shown: Lab, page: Page) -> None:
    begin = time.monotonic()
    crash(shown, "n2")
    assert page.wait(503, begin) - begin < PROMPT_S
    begin = time.monotonic()
    shown.start("n2")
    page.wait(200, begin)


def test_a_program_that_replaces_itself_is_watched_on(shown: Lab, page: Page) -> None:
    begin = time.monotonic()
    hang_up(shown, "n2")
    page.wait(200, page.wait(503, begin))


def test_a_node_cut_off_serves_its_side_and_is_degraded(shown: Lab) -> None:
    def headers() -> str:
        return shown.exec("n2", *curl("http://127.0.0.1:5480/ready"), "--head").stdout.lower()

    assert "x-envoy-degraded" not in headers()
    shown.cut("n2", "n1,n3")
    until(lambda: "x-envoy-degraded: true" in headers(), "n2 to be degraded")


def test_one_node_stays_well_while_another_dies(shown: Lab) -> None:
    with Page(shown, "n1") as first, Page(shown, "n2") as second:
        shown.kill("n3")
        until(lambda: not members(shown, "n1")["n3"]["buckets"], "the others to take over")
        until(lambda: metrics(shown, "n1")['farmd_takeover_duration_seconds_count{farm="web",node="n1"}'] >= 1, "it")
        assert {status for _, status in (*first.seen, *second.seen)} == {200}
    found = metrics(shown, "n1")
    count = found['farmd_takeover_duration_seconds_count{farm="web",node="n1"}']
    assert 0.2 < found['farmd_takeover_duration_seconds_sum{farm="web",node="n1"}'] / count < 2.0
    assert found['farmd_member_state{farm="web",member="n3",node="n1",state="failed"}'] == 1
    assert found['farmd_owned_buckets{farm="web",node="n1",owner="n3"}'] == 0
