"""Planned changes: no request fails, no download breaks, and no node answers beside another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.network import Lab
from lab.services import CONFIG, KEY
from lab.waiting import until
from tests.lab.nodes import NODES, farmctl, hang_up, members, moves, owners, status
from tests.lab.watching import Clients, downloading, watched

pytestmark = pytest.mark.needs_root


RETRIED_MAX = 4
"""For each view: so many of 850 SYNs a second fall into the 5 ms for which a moving bucket may be closed everywhere."""


@contextmanager
def unnoticed(farm: Lab) -> Iterator[Clients]:
    """What happens inside must be noticed by no client and no download that runs when it begins."""
    before = epoch(farm)
    with watched(farm) as clients, downloading(farm) as downloads:
        yield clients
        broken = downloads.finish()
    assert broken == []
    check_unnoticed(farm, clients, before)


def check_unnoticed(farm: Lab, clients: Clients, before: int) -> None:
    assert clients.failures == []
    assert clients.retried <= RETRIED_MAX * (epoch(farm) - before)


def epoch(farm: Lab) -> int:
    """The number of the view in force."""
    return int(status(farm, "n1")["epoch"].partition(".")[0])


def test_a_planned_stop(farm: Lab) -> None:
    before = owners(farm, "n1")
    with unnoticed(farm):
        farm.stop("n2")
        farm.wait_converged("n1", "n3")
    assert {loser for loser, _ in moves(before, owners(farm, "n1"))} == {"n2"}


def test_a_rejoin(farm: Lab) -> None:
    farm.stop("n2")
    before = owners(farm, "n1")
    with unnoticed(farm) as clients:
        farm.start("n2")
        farm.wait_converged(*NODES)
    assert {gainer for _, gainer in moves(before, owners(farm, "n1"))} == {"n2"}
    assert clients.answers["n2"] > 0


def test_stop_and_start_of_one_node_after_the_other(farm: Lab) -> None:
    """As an upgrade does. The coordinator, n1, is among them."""
    with unnoticed(farm):
        for node in NODES:
            farm.stop(node)
            farm.start(node)
            farm.wait_converged(*NODES)


def test_drain_and_undrain(farm: Lab) -> None:
    before = owners(farm, "n1")
    with unnoticed(farm):
        farmctl(farm, "n1", "drain", "n2")
        drained = owners(farm, "n3")
        farmctl(farm, "n3", "undrain", "n2")
    assert "n2" not in drained
    assert {loser for loser, _ in moves(before, drained)} == {"n2"}
    assert members(farm, "n1")["n2"]["buckets"] in (341, 342)


def test_weights(farm: Lab) -> None:
    with unnoticed(farm):
        farmctl(farm, "n2", "weight", "n1", "300")
        heavy = {node: owners(farm, "n1").count(node) for node in NODES}
        farmctl(farm, "n2", "weight", "n1", "0")
        nothing = owners(farm, "n1").count("n1")
        farmctl(farm, "n2", "weight", "n1", "100")
    assert heavy == {"n1": 614, "n2": 205, "n3": 205}  # 3/5, 1/5 and 1/5 of 1024
    assert nothing == 0


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_daemon_that_starts_anew(farm: Lab, node: str) -> None:
    """SIGHUP to the coordinator, and to another."""
    before = epoch(farm)
    with unnoticed(farm):
        hang_up(farm, node)
        farm.wait_converged(*NODES)
    assert epoch(farm) >= before + 2  # without the node, and with it


def test_a_stop_asked_for_during_a_hand_over_is_a_stop(farm: Lab) -> None:
    pid = status(farm, "n2")["pid"]
    farm.exec("n2", "sh", "-c", f"kill -HUP {pid}; kill -TERM {pid}")
    until(lambda: farm.farmd_pid("n2") is None, "farmd to end", timeout_s=15)
    farm.wait_converged("n1", "n3")
    until(lambda: members(farm, "n1")["n2"]["status"] == "left", "n1 to know that n2 has left")
    assert farm.farmd_pid("n2") is None


@pytest.fixture
def configured(farm: Lab) -> Iterator[Lab]:
    """A farm whose configuration may be changed on its nodes; all of them get the old one back."""
    yield farm
    for node in NODES:
        farm.stop(node)
    farm.start_all()


def test_a_new_weight_from_the_configuration(configured: Lab) -> None:
    text = configured.state.config.read_text()
    with unnoticed(configured):
        configured.machine("n2").write(CONFIG, text.replace('name = "n2"\n', 'name = "n2"\nweight = 50\n'))
        hang_up(configured, "n2")
        configured.wait_converged(*NODES)
    assert members(configured, "n1")["n2"]["view_weight"] == 50
    assert owners(configured, "n1").count("n2") in (204, 205)  # a fifth of 1024


def test_a_new_key(configured: Lab) -> None:
    """[old] -> [old, new] -> [new, old] -> [new], node after node, as the configuration's documentation says."""
    old, new = f'"@{KEY}"', f'"@{KEY}-new"'
    text = configured.state.config.read_text()
    assert f"[{old}]" in text
    for node in NODES:
        configured.machine(node).write(f"{KEY}-new", "a secret of another year\n", mode=0o600)
    before = epoch(configured)
    with watched(configured) as clients:
        for keys in ([old, new], [new, old], [new]):
            for node in NODES:
                configured.machine(node).write(CONFIG, text.replace(f"[{old}]", f"[{', '.join(keys)}]"))
                hang_up(configured, node)
                configured.wait_converged(*NODES)
    check_unnoticed(configured, clients, before)
    assert [status(configured, node)["refused"].get("Forged", 0) for node in NODES] == [0, 0, 0]
