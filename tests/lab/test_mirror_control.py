"""mirrord and farmctl on two nodes: orders and answers, what runs where, and what is left when a part of it dies."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from signal import SIGKILL, SIGTERM
from typing import Any

import pytest

from lab import services
from lab.machine import signal_service
from lab.mirror import NODES, PYTHON, MirrorLab, plain
from lab.waiting import until
from tests.lab.mirrors import differences, other, reload, restore
from tests.lab.test_topology import name

pytestmark = pytest.mark.needs_root

APPLICATION = """
[[service]]
name = "writer"
start = "/bin/sh -c 'while sleep 0.02; do date +%s%N >> /srv/data/log; done & echo $! > /run/writer.pid'"
stop = "/bin/sh -c 'kill $(cat /run/writer.pid); test ! -e /run/slow || (touch /run/ill; sleep 1; rm /run/ill)'"
stop_timeout_s = 5

[[check]]
name = "well"
exec = "/usr/bin/test ! -e /run/ill"
interval_s = 0.1
fall = 2
"""
OVERHEAD_S = 0.5
"""What a swap may take besides the application's stop and start, which are next to nothing here."""


@pytest.fixture(scope="module")
def built() -> Iterator[MirrorLab]:
    with MirrorLab(name("mirror-control"), [plain() + APPLICATION]) as lab:
        yield lab


@pytest.fixture
def mirror(built: MirrorLab) -> MirrorLab:
    """A pair in sync, of which n1 serves and is ready; given back whatever the test did to it."""
    for node in NODES:
        built.exec(node, "rm", "-f", "/run/ill", "/run/slow")
    if restore(built) == "n2":
        farmctl(built, "n2", "start")
        farmctl(built, "n2", "swap")
    built.wait("n1", role="PRIM", readiness="ready", in_sync=True)
    return built


def farmctl(lab: MirrorLab, node: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return lab.exec(node, *services.farmctl(*arguments), check=False, timeout=60)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Why farmctl refused."""
    assert done.returncode == 1
    return done.stderr.removeprefix("farmctl: ").strip()


def writers(lab: MirrorLab, node: str) -> int:
    """How many applications run on a node; what a shell has forked and not executed yet looks like the shell."""
    listed = lab.exec(node, "ps", "-eo", "pid=,ppid=,args=").stdout.splitlines()
    parents = dict(line.split()[:2] for line in listed if "/srv/data/log" in line)
    return sum(parent not in parents for parent in parents.values())


def lines(lab: MirrorLab, node: str) -> list[str]:
    """What the application has written, as the node has it."""
    return lab.exec(node, "cat", "/srv/data/log").stdout.split()


def running(lab: MirrorLab, node: str) -> int:
    return lab.mirrord(node).pid


# -- looking -----------------------------------------------------------------------------------------------------------


def test_both_nodes_tell_the_same_story(mirror: MirrorLab) -> None:
    one, two = (mirror.status(node) for node in NODES)
    for answer in (one, two):
        assert (answer["kind"], answer["mirror"], answer["condition"]) == ("mirror", "data", "insync")
        assert (answer["readiness"], answer["reason"], answer["in_sync"]) == ("ready", "", True)
        assert answer["clocks_apart_s"] == pytest.approx(0, abs=0.1)
        assert answer["witness"]["answered_ms_ago"] < 10_000
        assert [network["heard_ms_ago"] < 1000 for network in answer["peer"]["networks"]] == [True, True]
        assert (answer["progress"], answer["diverged"]) == (None, None)
    assert one["generation"] == two["generation"] == one["peer"]["generation"]
    assert (one["role"], two["role"]) == (two["peer"]["role"], one["peer"]["role"]) == ("PRIM", "SECOND")
    assert [service["state"] for service in one["services"] + two["services"]] == ["running", "stopped"]
    assert [check["state"] for check in one["checks"]] == ["passing", "passing"]
    assert (writers(mirror, "n1"), writers(mirror, "n2")) == (1, 0)


def test_what_is_written_is_counted(mirror: MirrorLab) -> None:
    def figures() -> dict[str, Any]:
        return dict(mirror.status("n1")["figures"])

    until(lambda: figures()["writes_s"] > 10, "the writer's fifty writes a second to be seen")
    latency = figures()["latency_ms"]
    assert 0 < latency["p50"] <= latency["p99"] < 100
    assert sum(latency["histogram"].values()) > 10


def test_text_for_people(mirror: MirrorLab) -> None:
    assert farmctl(mirror, "n1", "status").stdout.startswith("mirror data")
    assert "writer" in farmctl(mirror, "n1", "checks").stdout
    assert "ALONE" in farmctl(mirror, "n1", "events").stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("drain", "n1"), "drain is for farms, and data is a mirror"),
        (("weight", "n1", "5"), "weight is for farms, and data is a mirror"),
        (("buckets",), "buckets is not for mirrors, and data is one"),
        (("wait", "drained"), "drained is for farms, and data is a mirror"),
        (("start", "reader"), "mirror data has no service reader; it has writer"),
        (("promote",), "this node serves already"),
        (("diverged", "--looked"), "no files of a diverged side are kept here"),
        (("wait", "second", "--within", "0.2"), "not second within 0.2 s: this node is PRIM"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_sentence(mirror: MirrorLab, arguments: tuple[str, ...], why: str) -> None:
    assert sentence(farmctl(mirror, "n1", *arguments)) == why


# -- planned -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", NODES)
def test_the_two_change_places(mirror: MirrorLab, asked: str) -> None:
    began_s = time.monotonic()
    done = farmctl(mirror, asked, "swap")
    took_s = time.monotonic() - began_s
    assert done.stdout == "node n2 serves now\n"
    assert farmctl(mirror, "n2", "wait", "prim", "--within", "5").returncode == 0
    assert (writers(mirror, "n1"), writers(mirror, "n2")) == (0, 1)
    assert mirror.status("n2")["generation"] == mirror.status("n1")["generation"]
    stamps = [int(line) for line in lines(mirror, "n2")]
    gap_s = max(later - earlier for earlier, later in pairwise(stamps)) / 1e9
    assert gap_s < 5, "what the first wrote is what the second goes on with"
    assert took_s < 10 * OVERHEAD_S, "with farmctl's own start, on a machine that is busy"


def test_a_check_that_fails_while_the_application_is_stopped_is_not_held_against_the_node(mirror: MirrorLab) -> None:
    mirror.exec("n1", "touch", "/run/slow")
    assert farmctl(mirror, "n1", "swap").returncode == 0
    mirror.wait("n2", role="PRIM", readiness="ready", in_sync=True)
    assert farmctl(mirror, "n2", "swap").stdout == "node n1 serves now\n"


def test_a_node_that_is_to_stop_hands_over_and_takes_part_again(mirror: MirrorLab) -> None:
    assert farmctl(mirror, "n1", "stop").returncode == 0
    mirror.wait("n2", role="ALONE", readiness="ready")
    assert (mirror.status("n1")["role"], writers(mirror, "n1"), writers(mirror, "n2")) == ("STOP", 0, 1)
    assert sentence(farmctl(mirror, "n1", "promote")).startswith("node n2 serves")
    assert farmctl(mirror, "n1", "start").returncode == 0
    assert farmctl(mirror, "n1", "wait", "insync", "--within", "20").returncode == 0


def test_the_end_of_mirrord_hands_over_and_leaves_nothing(mirror: MirrorLab) -> None:
    mirror.stop("n1")
    mirror.wait("n2", role="ALONE", readiness="ready")
    assert " /srv/data " not in mirror.exec("n1", "cat", "/proc/self/mountinfo").stdout
    assert mirror.volume_pids("n1") == []
    assert writers(mirror, "n1") == 0
    left = mirror.exec("n1", "ls", "/run/farmd", check=False).stdout.split()
    assert [entry for entry in left if entry.startswith("data")] == []
    assert "10.0.0.210" not in mirror.exec("n1", "ip", "address").stdout
    assert len(lines(mirror, "n1")) > 0


# -- the application ---------------------------------------------------------------------------------------------------


def test_a_service_that_dies_is_started_again_where_it_was(mirror: MirrorLab) -> None:
    mirror.exec("n1", "sh", "-c", "kill -9 $(cat /run/writer.pid)")
    until(lambda: mirror.status("n1")["services"][0]["restarts"] == 1, "the restart")
    mirror.wait("n1", role="PRIM", readiness="ready")
    assert writers(mirror, "n1") == 1


def test_a_service_is_restarted_by_an_operator(mirror: MirrorLab) -> None:
    before = mirror.exec("n1", "cat", "/run/writer.pid").stdout
    assert farmctl(mirror, "n1", "restart", "writer").returncode == 0
    assert mirror.exec("n1", "cat", "/run/writer.pid").stdout != before
    assert sentence(farmctl(mirror, "n2", "restart", "writer")) == "the application does not run on this node"


def test_an_application_that_is_not_well_moves_to_the_other_node(mirror: MirrorLab) -> None:
    mirror.exec("n1", "touch", "/run/ill")
    mirror.wait("n2", role="PRIM", readiness="ready")
    assert any("check well fails" in event["text"] for event in mirror.status("n1")["events"])
    assert (writers(mirror, "n1"), writers(mirror, "n2")) == (0, 1)
    mirror.exec("n1", "rm", "/run/ill")
    assert farmctl(mirror, "n1", "start").returncode == 0


# -- unplanned ---------------------------------------------------------------------------------------------------------


def test_a_killed_mirrord_leaves_no_application_and_nothing_to_write_to(mirror: MirrorLab) -> None:
    began_s = time.monotonic()
    mirror.crash("n1")
    until(lambda: writers(mirror, "n1") == 0, "the attendant to kill the application", timeout_s=2)
    refused = mirror.exec("n1", "sh", "-c", "echo late >> /srv/data/log", check=False)
    assert "Read-only file system" in refused.stderr
    mirror.wait("n2", role="ALONE", readiness="ready")
    assert time.monotonic() - began_s > 1.5, "the silence comes first"
    mirror.start("n1")
    mirror.wait_pair()
    assert mirror.serving() == ["n2"]


def test_a_frozen_mirrord_is_fenced_and_follows_when_it_thaws(mirror: MirrorLab) -> None:
    mirror.freeze("n1")
    mirror.wait("n2", role="ALONE", readiness="ready")
    before = len(lines(mirror, "n2"))
    mirror.thaw("n1")
    until(lambda: writers(mirror, "n1") == 0, "the application to be killed")
    mirror.wait_pair()
    assert mirror.serving() == ["n2"]
    assert len(lines(mirror, "n2")) > before


def test_all_of_a_node_killed_but_the_application(mirror: MirrorLab) -> None:
    """mirrord, volume and attendant die at once; the next mirrord kills the application before all else."""
    pids = mirror.exec("n1", "pgrep", "--full", "farmd.supervision.program").stdout.split()
    mirror.exec("n1", "kill", "-STOP", *pids)
    mirror.signal_volume("n1", SIGKILL)
    mirror.crash("n1")
    mirror.exec("n1", "kill", "-KILL", *pids)
    assert writers(mirror, "n1") == 1
    # The lab takes what mirrord has left for mirrord itself, so it is started past its check.
    there = mirror.machine("n1")
    command = [PYTHON, "-m", "mirrord.program", "--config", "/etc/farmd/data.toml", "--node", "n1"]
    there.start_service("mirrord.data", command, mirror.state.log("n1-data"))
    until(lambda: mirror.status("n1").get("volume_pid", 0) > 0, "the new volume")
    assert writers(mirror, "n1") == 0
    mirror.wait_pair()


def test_a_volume_that_dies_is_replaced(mirror: MirrorLab) -> None:
    mirror.signal_volume("n2", SIGKILL)
    until(lambda: mirror.status("n1")["role"] == "ALONE" or mirror.status("n1")["in_sync"], "the loss to be handled")
    mirror.wait_pair()
    assert mirror.serving() == ["n1"]


def test_outdated_data_is_served_only_by_force(mirror: MirrorLab) -> None:
    mirror.stop("n2")
    mirror.wait("n1", role="ALONE")
    mirror.stop("n1")
    mirror.start("n2")
    mirror.wait("n2", role="WAIT", reason="node n1 is not heard, and the data here was outdated")
    assert sentence(farmctl(mirror, "n2", "promote")) == (
        "the data here is outdated: acknowledged writes would be lost; promote --force-outdated if that is meant"
    )
    mirror.start("n1")
    assert mirror.wait_pair() == "n1"
    assert farmctl(mirror, "n1", "swap").returncode == 0
    assert farmctl(mirror, "n2", "swap").returncode == 0


# -- configuration -----------------------------------------------------------------------------------------------------


def test_a_changed_configuration_is_taken_over_as_far_as_it_can_be(mirror: MirrorLab) -> None:
    path = mirror.path("n1", "/etc/farmd/data.toml")
    before = path.read_text()
    try:
        reload(mirror, "n1", before.replace("[mirror]\n", '[mirror]\nresync_rate_mb_s = 7\nack = "disk"\n'))
        told = "mirror.resync_rate_mb_s is 7.0 from now on"
        until(lambda: told in _texts(mirror, "n1"), "the change")
        assert any(
            text.startswith("mirror.ack has changed; it counts after a restart") for text in _texts(mirror, "n1")
        )
        reload(mirror, "n1", "[mirror]\n")
        until(lambda: any("going on as before" in text for text in _texts(mirror, "n1")), "the refusal")
    finally:
        path.write_text(before)
    assert mirror.status("n1")["role"] == "PRIM"


def _texts(lab: MirrorLab, node: str) -> list[str]:
    return [event["text"] for event in lab.status(node)["events"]]


def started(lab: MirrorLab, node: str, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """mirrord on a node with another configuration, until it ends by itself."""
    lab.path(node, "/etc/farmd/other.toml").write_text(text)
    command = [PYTHON, "-m", "mirrord.program", "--config", "/etc/farmd/other.toml", "--node", node]
    return lab.exec(node, *command, check=False, timeout=30)


def test_a_second_mirrord_of_the_name_is_refused(mirror: MirrorLab) -> None:
    done = started(mirror, "n1", plain())
    assert done.returncode == 1
    assert "a farm or mirror named data already runs here (pid " in done.stderr


def test_a_state_that_cannot_be_read_is_refused_before_anything_is_done(mirror: MirrorLab) -> None:
    folder = mirror.path("n1", "/var/lib/mirrord/other")
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    (mirror.path("n1", "/etc/farmd/other.key")).write_text("a secret of some length\n")
    os.chmod(mirror.path("n1", "/etc/farmd/other.key"), 0o600)
    done = started(mirror, "n1", plain("other", ["/srv/other"], vips="[]", port="5500"))
    assert done.returncode == 1
    assert "mirrord: /var/lib/mirrord/other/state.json cannot be read (it is damaged)" in done.stderr


def test_check_config_looks_at_this_machine(mirror: MirrorLab) -> None:
    done = farmctl(mirror, "n1", "check-config", "--here", "/etc/farmd/data.toml", "--json")
    assert json.loads(done.stdout) == {"ok": True, "mirror": "data", "nodes": 2, "node": "n1", "remarks": []}


def test_another_key_is_told_of(mirror: MirrorLab) -> None:
    key = mirror.path("n2", "/etc/farmd/data.key")
    before = key.read_text()
    signal_service(mirror.mirrord("n2"), SIGTERM, wait_s=30)
    try:
        key.write_text("another secret than n1 has\n")
        mirror.start("n2")
        mirror.wait("n2", role="WAIT")
        told = "heartbeats arrive that are not sealed with our keys: are the keys the same on both nodes?"
        until(lambda: told in _texts(mirror, "n2") and told in _texts(mirror, "n1"), "both to say so")
        assert mirror.serving() == ["n1"]
    finally:
        mirror.stop("n2")
        key.write_text(before)


def test_at_the_end_both_have_the_same(mirror: MirrorLab) -> None:
    farmctl(mirror, "n1", "stop", "writer")
    until(lambda: differences(mirror) == "", "both trees to be equal")
    assert other("n1") == "n2"
    farmctl(mirror, "n1", "start", "writer")
