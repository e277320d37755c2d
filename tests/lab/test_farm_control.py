"""farmctl: orders and answers, on a farm and where there is none."""

from __future__ import annotations

import json
import subprocess

import pytest

from lab import services
from lab.network import Lab
from lab.services import CONFIG
from lab.topology import LAN
from tests.lab.nodes import NODES, farmctl, members, owners, settled, status

pytestmark = pytest.mark.needs_root


def run(lab: Lab, place: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return lab.exec(place, *services.farmctl(*arguments), check=False, timeout=10)


@pytest.mark.parametrize("node", NODES)
def test_all_nodes_tell_the_same(farm: Lab, node: str) -> None:
    answer, first = status(farm, node), status(farm, "n1")
    assert (answer["farm"], answer["node"]) == ("web", node)
    assert answer["epoch"] == first["epoch"]
    assert answer["coordinator"] == (node == "n1")
    assert answer["lease"] == "held"
    assert answer["xdp"] == "native"
    assert [member["name"] for member in answer["members"]] == list(NODES)
    assert sum(member["buckets"] for member in answer["members"]) == 1024
    assert owners(farm, node) == owners(farm, "n1")


def test_orders_answer_when_they_are_carried_out(farm: Lab) -> None:
    drained = farmctl(farm, "n3", "drain", "n2")
    assert drained["converged"]
    assert {member["name"]: member["status"] for member in drained["members"]}["n2"] == "draining"
    assert {node: members(farm, node)["n2"]["buckets"] for node in NODES} == dict.fromkeys(NODES, 0)
    assert farmctl(farm, "n1", "undrain", "n2")["converged"]
    assert members(farm, "n2")["n2"]["buckets"] in (341, 342)
    assert farmctl(farm, "n2", "weight", "n3", "50")["converged"]
    assert members(farm, "n1")["n3"]["buckets"] in (204, 205)


def test_an_order_outlives_a_restart_of_its_node(farm: Lab) -> None:
    farmctl(farm, "n1", "drain", "n2")
    farm.stop("n2")
    farm.start("n2")
    assert farmctl(farm, "n1", "drain", "n2")["converged"]
    assert "n2" not in owners(farm, "n1")


def test_text_for_people(farm: Lab) -> None:
    text = run(farm, "n1", "status").stdout
    assert text.startswith("farm web  10.0.0.100, fd00::100  on eth0  vmac ")
    assert all(any(line.startswith(node) and "up" in line for line in text.splitlines()) for node in NODES)
    buckets = run(farm, "n2", "buckets").stdout
    assert [line.split()[0] for line in buckets.splitlines()] == ["buckets,", "owner", *NODES]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("drain", "n9"), "farm web has no node n9; it has n1, n2, n3"),
        (("weight", "n1", "1001"), "a weight is a whole number from 0 to 1000"),
        (("weight", "n1", "-1"), "a weight is a whole number from 0 to 1000"),
        (("status", "--farm", "nonsense"), "farmd is not running for farm nonsense"),
        (("check-config", "/nowhere.toml"), "/nowhere.toml: "),
    ],
)
def test_errors_are_a_sentence(farm: Lab, arguments: tuple[str, ...], sentence: str) -> None:
    before = settled(farm, "n1")["epoch"]
    done = run(farm, "n1", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"farmctl: {sentence}")
    assert done.stderr.count("\n") == 1
    answered = run(farm, "n1", *arguments, "--json")
    assert answered.returncode == 1
    answer = json.loads(answered.stdout)
    assert answer["ok"] is False
    assert answer["error"].startswith(sentence)
    assert status(farm, "n1")["epoch"] == before


def test_without_a_daemon(farm: Lab) -> None:
    done = run(farm, LAN, "status")
    assert done.returncode == 1
    assert done.stderr == "farmctl: no farm or mirror runs on this machine (no socket in /run/farmd)\n"


def test_a_frozen_daemon_does_not_answer(farm: Lab) -> None:
    farm.freeze("n2")
    done = run(farm, "n2", "status")
    assert done.returncode == 1
    assert done.stderr == "farmctl: farmd did not answer 'status' within 5 s\n"


def test_check_config(farm: Lab) -> None:
    answer = farmctl(farm, "n1", "check-config", CONFIG)
    assert (answer["ok"], answer["farm"], answer["nodes"]) == (True, "web", 3)
    assert answer["vmac"] == status(farm, "n1")["vmac"]
