"""farmctl's verbs about services, checks and events."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from lab import services
from lab.network import Lab
from lab.services import NGINX_SERVICE, PAGE_CHECK, farm_config
from lab.topology import Topology
from lab.waiting import until
from tests.lab.nodes import NODES, farmctl, members, owners
from tests.lab.supervision import mend

pytestmark = pytest.mark.needs_root

WATCHED_ONLY = """
[[service]]
name = "init"
start = "true"
stop = "true"
status = "true"
managed = false
"""
FARM_CONFIG = farm_config(Topology(3)) + NGINX_SERVICE + WATCHED_ONLY + PAGE_CHECK


@pytest.fixture
def supervised(farm: Lab) -> Iterator[Lab]:
    yield farm
    mend(farm)


def run(lab: Lab, node: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return lab.exec(node, *services.farmctl(*arguments), check=False, timeout=60)


def test_text_for_people(supervised: Lab) -> None:
    lines = run(supervised, "n1", "checks").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["service", "nginx", "init", "check", "nginx", "init", "page"]
    assert [line.split()[1] for line in lines[1:3]] == ["running", "running"]
    status = run(supervised, "n1", "status").stdout
    assert any(line.startswith("nginx") and "running" in line for line in status.splitlines())
    events = run(supervised, "n1", "events", "--last", "1").stdout
    assert events.count("\n") == 1
    assert len(run(supervised, "n1", "events").stdout.splitlines()) > 3


def test_a_restart_tells_what_happened(supervised: Lab) -> None:
    done = run(supervised, "n3", "restart", "nginx")
    assert done.returncode == 0, done.stderr
    told = [line.split(maxsplit=2)[2] for line in done.stdout.splitlines()]
    assert told[0] == "not ready: service nginx is being stopped: restart asked for"
    assert "service nginx is started" in told
    assert told[-1] in ("service nginx runs", "ready") or "view installed" in told[-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("start", "apache"), "farm web has no service apache; it has nginx"),
        (("stop", "page"), "farm web has no service page; it has nginx"),
        (("restart", "init"), "service init is only watched here (managed = false)"),
        (("events", "--last", "0"), "the number of events is a whole number, at least 1"),
        (("drain",), "drain needs the names of nodes, or --all"),
        (("drain", "n1", "--all"), "drain needs the names of nodes, or --all"),
        (("drain", "n1", "n9"), "farm web has no node n9; it has n1, n2, n3"),
        (("wait", "drained", "--timeout", "0.2"), "not drained within 0.2 s: the node owns 34"),
    ],
)
def test_errors_are_a_sentence(supervised: Lab, arguments: tuple[str, ...], sentence: str) -> None:
    done = run(supervised, "n1", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"farmctl: {sentence}")
    assert done.stderr.count("\n") == 1
    answered = run(supervised, "n1", *arguments, "--json")
    assert answered.returncode == 1
    answer = json.loads(answered.stdout)
    assert (answer["ok"], answer["error"][: len(sentence)]) == (False, sentence)
    assert members(supervised, "n1")["n1"]["buckets"] > 0


def test_a_whole_site_is_drained_and_comes_back(supervised: Lab) -> None:
    farmctl(supervised, "n1", "drain", "--all")
    assert set(owners(supervised, "n1")) == {None}
    for node in NODES:
        assert farmctl(supervised, node, "wait", "drained") == {"ok": True}
    farmctl(supervised, "n2", "undrain", *NODES)
    assert set(owners(supervised, "n1")) == set(NODES)
    assert farmctl(supervised, "n1", "wait", "ready") == {"ok": True}


def test_waiting_begins_before_farmd_does(supervised: Lab) -> None:
    supervised.stop("n3")
    done = run(supervised, "n3", "wait", "ready", "--timeout", "0.1")
    assert done.returncode == 1
    assert done.stderr == (
        "farmctl: not ready within 0.1 s: no farm or mirror runs on this machine (no socket in /run/farmd)\n"
    )
    waiting = supervised.popen("n3", *services.farmctl("wait", "ready", "--timeout", "30"), stdout=subprocess.PIPE)
    supervised.start("n3")
    output, _ = waiting.communicate(timeout=40)
    assert (waiting.returncode, output) == (0, b"this node is ready\n")


def test_a_configuration_that_does_not_fit_the_machine_any_more_replaces_nothing(supervised: Lab) -> None:
    there = supervised.machine("n2")
    right = there.path(services.CONFIG).read_text()
    there.write(services.CONFIG, right + '[[check]]\nname = "gone"\nexec = "removed-since"\n')
    log, before = supervised.state.log("n2"), owners(supervised, "n1")
    lines = len(log.read_text().splitlines())
    supervised.exec("n2", "kill", "-HUP", str(farmctl(supervised, "n2", "status")["pid"]))
    sentence = "going on as before, since the configuration is wrong: check[1].exec: there is no command removed-since"
    until(lambda: any(sentence in line for line in log.read_text().splitlines()[lines:]), "farmd to refuse")
    assert owners(supervised, "n1") == before
    there.write(services.CONFIG, right)
