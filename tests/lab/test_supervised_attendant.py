"""What goes wrong with checks and with the process that runs them never delays a heartbeat."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.network import Lab
from lab.services import NGINX_SERVICE, PAGE_CHECK, farm_config
from lab.topology import Topology
from lab.waiting import until
from tests.lab.nodes import NODES, owners, status
from tests.lab.supervision import mend, nginx_pid, signal_nginx, texts, wait_event, wait_owns

pytestmark = pytest.mark.needs_root

HANGS, FLOODS = "/run/farmd-lab/hangs", "/run/farmd-lab/floods"
EXEC_CHECKS = "".join(
    f"""
[[check]]
name = "{name}"
exec = "{command}"
interval_s = 0.1
timeout_s = 0.3
when_all_fail = "serve"
"""
    for name, command in {
        "hangs": f"/bin/sh -c 'test ! -e {HANGS} || sleep 1000'",
        "floods": f"/bin/sh -c 'test ! -e {FLOODS} || exec yes'",
        "goes": "/run/farmd-lab/true",
    }.items()
)
FARM_CONFIG = farm_config(Topology(3)) + NGINX_SERVICE + PAGE_CHECK
CHECKED = FARM_CONFIG + EXEC_CHECKS


@pytest.fixture
def supervised(farm: Lab) -> Iterator[Lab]:
    yield farm
    mend(farm)


def attendant_pid(lab: Lab, node: str) -> int:
    """The number of the attendant's process on a node, there; 0 if there is none."""
    found = lab.exec(node, "pgrep", "-f", "farmd.supervision.program", check=False).stdout.split()
    return int(found[0]) if found else 0


def disturbances(lab: Lab, node: str, after: int) -> list[str]:
    """What a late heartbeat would have led to."""
    return [text for text in texts(lab, node)[after:] if any(word in text for word in ("silent", "fenced", "left"))]


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_an_attendant_that_dies_or_freezes_is_replaced(supervised: Lab, signal: str) -> None:
    before, pid, epoch = attendant_pid(supervised, "n2"), nginx_pid(supervised, "n2"), status(supervised, "n2")["epoch"]
    known = {node: len(texts(supervised, node)) for node in NODES}
    supervised.exec("n2", "kill", f"-{signal}", str(before))
    until(lambda: attendant_pid(supervised, "n2") not in (0, before), "another attendant", timeout_s=15)
    assert [disturbances(supervised, node, known[node]) for node in NODES] == [[], [], []]
    assert status(supervised, "n2")["epoch"] == epoch
    assert nginx_pid(supervised, "n2") == pid
    signal_nginx(supervised, "n2", "KILL")  # it looks
    wait_event(supervised, "n2", "service nginx does not run", known["n2"])
    wait_event(supervised, "n2", "ready", known["n2"])


def test_an_attendant_that_dies_in_the_middle_of_a_restart(supervised: Lab) -> None:
    known = len(texts(supervised, "n2"))
    signal_nginx(supervised, "n2", "STOP")  # so that its stop takes long
    wait_event(supervised, "n2", "not ready: service nginx is being stopped", known)
    wait_owns(supervised, "n2", something=False)
    supervised.exec("n2", "kill", "-KILL", str(attendant_pid(supervised, "n2")))
    wait_event(supervised, "n2", "service nginx had to be killed", known)
    wait_owns(supervised, "n2", something=True)


@pytest.fixture
def checked(supervised: Lab) -> Iterator[Lab]:
    """The farm with checks that can be made to misbehave."""
    for node in NODES:
        supervised.machine(node).path("/run/farmd-lab/true").symlink_to("/bin/true")
    reconfigure(supervised, CHECKED)
    yield supervised
    for node in NODES:
        for path in (HANGS, FLOODS):
            supervised.machine(node).path(path).unlink(missing_ok=True)
    reconfigure(supervised, FARM_CONFIG)


def reconfigure(lab: Lab, config: str) -> None:
    for node in NODES:
        lab.stop(node)
    lab.state.config.write_text(config)
    lab.start_all()


def test_checks_that_hang_or_flood_or_cannot_start(checked: Lab) -> None:
    """On one node: it loses its buckets, and nothing else happens. On all: not even that."""
    known = {node: len(texts(checked, node)) for node in NODES}
    misbehave(checked, "n2")
    for check in ("hangs", "floods", "goes"):
        wait_event(checked, "n2", f"check {check} fails", known["n2"])
    wait_owns(checked, "n2", something=False)
    heard = {node: len(texts(checked, node)) for node in NODES}
    settle(checked, "n2", times=20)
    assert [disturbances(checked, node, heard[node]) for node in NODES] == [[], [], []]
    assert status(checked, "n2")["failing"] == ["floods", "goes", "hangs"]
    for node in ("n1", "n3"):
        misbehave(checked, node)
    wait_owns(checked, "n2", something=True)
    checked.wait_converged(*NODES)
    heard = {node: len(texts(checked, node)) for node in NODES}
    settle(checked, "n2", times=20)
    assert [disturbances(checked, node, heard[node]) for node in NODES] == [[], [], []]
    assert {owners(checked, "n1").count(node) for node in NODES} == {341, 342}


def misbehave(lab: Lab, node: str) -> None:
    lab.machine(node).path(HANGS).touch()
    lab.machine(node).path(FLOODS).touch()
    lab.machine(node).path("/run/farmd-lab/true").unlink()


def settle(lab: Lab, node: str, times: int) -> None:
    """Until the flooding check has been tried so often again."""
    seen: set[float] = set()

    def tried() -> bool:
        for check in lab.ask(node, "checks")["checks"]:
            if check["name"] == "floods":
                seen.add(check["took_ms"])
        return len(seen) >= times

    until(tried, f"{times} tries of the check that floods", timeout_s=60, interval_s=0.1)
