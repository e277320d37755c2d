"""A disk that is full, on either side: errors for the application or a peer that leaves, never a silent difference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.errors import LabError
from lab.mirror import NODES, MirrorLab, quick
from tests.lab.mirrors import DATA, fill, other, restore, wait_equal
from tests.lab.test_topology import name

pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def built() -> Iterator[MirrorLab]:
    with MirrorLab(name("full"), [quick()]) as lab:
        yield lab


@pytest.fixture
def lab(built: MirrorLab) -> Iterator[MirrorLab]:
    built.exec(restore(built), "sh", "-c", f"rm -rf {DATA}/*")
    yield built
    for node in NODES:
        if not built.powered(node):
            built.boot(node)
        built.exec(node, "rm", "-f", "/srv/filler")
    restore(built)
    wait_equal(built)


def write(lab: MirrorLab, node: str, file: str, megabytes: int) -> str:
    """What dd complains of; empty if it could write all."""
    script = f"dd if=/dev/urandom of={DATA}/{file} bs=1M count={megabytes} conv=fsync 2>&1 > /dev/null"
    done = lab.exec(node, "sh", "-c", script, check=False)
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize("leave_bytes", [4 << 20, 0])
def test_the_peers_disk_is_full_it_leaves_and_the_application_sees_nothing(lab: MirrorLab, leave_bytes: int) -> None:
    """Its state is on the same disk, and there has to say that it is outdated."""
    serving = lab.serving()[0]
    fill(lab, other(serving), leave_bytes)
    assert write(lab, serving, "big", 40) == ""
    lab.wait(serving, role="ALONE", readiness="ready")
    lab.exec(other(serving), "rm", "-f", "/srv/filler")
    assert lab.wait_pair() == serving


def test_who_left_for_its_full_disk_is_outdated_and_is_not_promoted_unforced(lab: MirrorLab) -> None:
    serving = lab.serving()[0]
    outdated = other(serving)
    fill(lab, outdated, leave_bytes=4 << 20)
    assert write(lab, serving, "big", 40) == ""
    lab.wait(serving, role="ALONE", readiness="ready")
    lab.kill(serving)
    lab.wait(outdated, role="WAIT", condition="outdated")
    with pytest.raises(LabError, match="outdated"):
        lab.farmctl(outdated, "promote")
    assert lab.status(outdated)["role"] == "WAIT"


def test_the_local_disk_is_full_the_application_is_told_and_both_are_equal(lab: MirrorLab) -> None:
    serving = lab.serving()[0]
    fill(lab, serving, leave_bytes=4 << 20)
    assert "No space left on device" in write(lab, serving, "big", 40)
    lab.exec(serving, "rm", f"{DATA}/big")
    lab.exec(serving, "rm", "-f", "/srv/filler")
    assert write(lab, serving, "small", 1) == ""
    restore(lab)
    wait_equal(lab)


def test_a_disk_that_takes_no_state_does_not_keep_the_other_node_from_taking_over(lab: MirrorLab) -> None:
    serving = lab.serving()[0]
    state = "/var/lib/mirrord/data/state.*"
    lab.exec(serving, "sh", "-c", f"chattr +i {state}")
    try:
        lab.farmctl(serving, "swap")
        lab.wait(other(serving), role="PRIM", readiness="ready")
        lab.wait(serving, role="SECOND", in_sync=True)
        assert write(lab, other(serving), "small", 1) == ""
        lab.farmctl(other(serving), "swap")
        lab.wait(serving, role="PRIM", readiness="ready")
    finally:
        lab.exec(serving, "sh", "-c", f"chattr -i {state}")
    assert "the disk does not take this node's state" in lab.account(lines=200)
