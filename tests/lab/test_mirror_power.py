"""Both nodes lose their power and come back in either order; only one does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import services
from lab.errors import LabError
from lab.mirror import NODES, MirrorLab
from lab.waiting import until
from tests.lab.mirrors import DATA, Recording, missing, other, restore, wait_equal
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

STAYS_S = 4.0
"""How long a node that must not serve is watched: twice the suspicion time."""


@pytest.fixture
def lab(pair: MirrorLab) -> Iterator[MirrorLab]:
    serving = restore(pair)
    pair.exec(serving, "sh", "-c", f"rm -rf {DATA}/*")
    yield pair
    restore(pair)
    wait_equal(pair)


@pytest.mark.parametrize("first", NODES)
def test_both_lose_their_power_at_once(lab: MirrorLab, first: str) -> None:
    """What was synced is there; both were in sync, so they agree who goes on, whoever comes first."""
    ledger, serving = Ledger(), lab.serving()[0]
    with Recording(lab, ledger, serving) as recording:
        recording.wait_more(1500)
        for node in (serving, other(serving)):
            lab.kill(node)
    lab.start(first)
    assert lab.status(first)["role"] == "WAIT"
    lab.start(other(first))
    serves = lab.wait_pair()
    assert missing(lab, ledger, serves, durable=True) == []


def test_the_outdated_one_never_serves_by_itself(lab: MirrorLab) -> None:
    """M4. It was in sync when it went down, and cannot know what the other did since; so it waits."""
    ledger, serving = Ledger(), lab.serving()[0]
    outdated = other(serving)
    lab.kill(outdated)
    lab.wait(serving, role="ALONE", readiness="ready")
    with Recording(lab, ledger, serving) as recording:
        recording.wait_more(300)
    lab.exec(serving, "sync", "-f", "/srv")
    lab.kill(serving)
    lab.start(outdated)
    with pytest.raises(LabError, match="waited"):
        until(lambda: lab.status(outdated)["role"] not in ("WAIT", ""), "it to serve", timeout_s=STAYS_S)
    lab.start(serving)
    assert lab.wait_pair() == serving
    assert missing(lab, ledger, serving, durable=True) == []


def test_a_split_brain_by_force_is_healed_and_the_losers_files_are_kept(lab: MirrorLab) -> None:
    winner = lab.serving()[0]
    loser = other(winner)
    lab.exec(winner, "sh", "-c", f"echo common > {DATA}/file; sync {DATA}/file")
    lab.kill(loser)
    lab.wait(winner, role="ALONE", readiness="ready")
    lab.exec(winner, "sh", "-c", f"echo winner > {DATA}/file; sync -f /srv")
    lab.kill(winner)
    lab.start(loser)
    lab.wait(loser, role="WAIT")
    lab.promote(loser, "--force-outdated")
    lab.wait(loser, role="ALONE", readiness="ready")
    lab.exec(loser, "sh", "-c", f"echo loser > {DATA}/file; echo mine > {DATA}/own; sync -f /srv")
    lab.start(winner)
    serves = lab.wait_pair()
    assert serves == loser, "the one that serves wins"
    wait_equal(lab)
    assert lab.exec(serves, "cat", f"{DATA}/file").stdout == "loser\n"
    until(lambda: bool(lab.status(winner).get("diverged")), f"{winner} to tell what it has kept", timeout_s=15)
    kept = lab.status(winner)["diverged"]
    assert lab.exec(winner, "sh", "-c", f"cat $(find '{kept['folder']}' -name file)").stdout == "winner\n"
    _look_at_what_was_kept(lab, winner)


def _look_at_what_was_kept(lab: MirrorLab, node: str) -> None:
    """It is told of, also after a restart, until somebody says that they have looked; and then it is still there."""
    lab.stop(node)
    lab.start(node)
    until(lambda: bool(lab.status(node).get("diverged")), f"{node} to tell of what it has kept", timeout_s=15)
    kept = lab.farmctl(node, "diverged")["diverged"]
    assert kept["files"] == 1, lab.exec(node, "find", kept["folder"], "-ls").stdout
    assert f"1 files that only this node had are kept in {kept['folder']}" in _said(lab, node, "diverged")
    assert f"kept in {kept['folder']}" in _said(lab, node, "status")
    aside = lab.farmctl(node, "diverged", "--looked")["folder"]
    assert lab.farmctl(node, "diverged")["diverged"] is None
    assert kept["folder"] not in _said(lab, node, "status")
    assert lab.exec(node, "sh", "-c", f"cat $(find {aside} -name file)").stdout == "winner\n"


def _said(lab: MirrorLab, node: str, verb: str) -> str:
    return lab.exec(node, *services.farmctl(verb)).stdout
