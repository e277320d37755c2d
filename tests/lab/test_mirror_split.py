"""Two nodes that do not hear each other and both reach the witness: both serve, and nothing is lost when they meet."""

from __future__ import annotations

import pytest

from lab.mirror import MirrorLab
from lab.waiting import until
from tests.lab.mirrors import DATA, other, restore, wait_equal

WITHIN_S = 20.0


@pytest.mark.needs_root
def test_both_reach_the_witness_but_not_each_other_both_serve_and_one_side_is_kept(pair: MirrorLab) -> None:
    """A router's ping is no quorum (README). What only the losing side had is kept until somebody has looked."""
    lab, serving = pair, restore(pair)
    follower = other(serving)
    lab.cut(serving, follower)
    for node in (serving, follower):
        lab.wait(node, role="ALONE", readiness="ready")
        lab.exec(node, "sh", "-c", f"echo {node} > {DATA}/both; echo {node} > {DATA}/{node}; sync -f {DATA}")
    lab.heal()
    winner = lab.wait_pair()
    wait_equal(lab)
    assert lab.exec(winner, "cat", f"{DATA}/both").stdout == f"{winner}\n"
    lost = other(winner)
    until(lambda: bool(lab.status(lost).get("diverged")), f"{lost} to tell what it has kept", WITHIN_S)
    kept = lab.status(lost)["diverged"]
    assert lab.status(winner)["diverged"] is None
    assert kept["files"] >= 2
    found = lab.exec(lost, "sh", "-c", f"cd {kept['folder']}/0 && cat both {lost}").stdout
    assert found == f"{lost}\n{lost}\n"
    assert any(kept["folder"] in event["text"] and lost in event["text"] for event in lab.status(winner)["events"])
    lab.farmctl(lost, "diverged", "--looked")
    assert lab.status(lost)["diverged"] is None
