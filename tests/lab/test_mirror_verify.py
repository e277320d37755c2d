"""`farmctl verify` on a real mirror under a write load, and `farmctl resync` that repairs what it found."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from lab import services
from lab.mirror import MirrorLab, quick
from tests.lab.mirrors import DATA, Recording, differences, missing, other, wait_equal
from tests.lab.test_topology import name
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

PLANTED = f"""umount {DATA} && cd {DATA}/quiet && chmod 600 text && touch more &&
printf x | dd of=numbers bs=1 seek=70000 conv=notrunc,nocreat"""
"""Past the cover, where nobody can write by mistake."""


@pytest.fixture
def lab() -> Iterator[MirrorLab]:
    with MirrorLab(name("verify"), [quick()]) as lab:
        lab.wait_pair()
        yield lab


def farmctl(lab: MirrorLab, node: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return lab.exec(node, *services.farmctl(*arguments), check=False, timeout=60)


def test_what_differs_is_found_and_repaired_while_applications_write(lab: MirrorLab) -> None:
    serving = lab.serving()[0]
    following = other(serving)
    script = f"cd {DATA}; mkdir quiet; seq 100000 > quiet/numbers; echo text > quiet/text; chmod 640 quiet/text"
    lab.exec(serving, "sh", "-c", script)
    ledger = Ledger()
    with Recording(lab, ledger, serving) as recording:
        done = farmctl(lab, serving, "verify")
        assert (done.returncode, done.stdout) == (0, "both nodes have the same\n")
        lab.exec(following, "unshare", "--mount", "--propagation", "private", "sh", "-c", PLANTED)
        done = farmctl(lab, serving, "verify")
        assert done.returncode == 1
        assert done.stdout.splitlines() == [
            "4 paths differ (`farmctl resync` makes the other node equal to this one):",
            f"  {DATA}/quiet/more: only on the other node",
            f"  {DATA}/quiet/numbers: content, modification time",
            f"  {DATA}/quiet/text: permissions",
            f"  {DATA}/quiet: modification time",
        ]
        assert "verified: 4 " in farmctl(lab, serving, "status").stdout
        recording.wait_more(50)
        assert farmctl(lab, serving, "resync").returncode == 0
        assert farmctl(lab, serving, "wait", "insync", "--within", "30").returncode == 0
        done = farmctl(lab, serving, "verify")
        assert (done.returncode, done.stdout) == (0, "both nodes have the same\n")
        assert "verified" not in farmctl(lab, serving, "status").stdout
        recording.wait_more(50)
    wait_equal(lab)
    assert missing(lab, ledger, following) == []
    assert differences(lab) == ""


def test_only_the_node_that_serves_a_pair_in_sync_compares(lab: MirrorLab) -> None:
    serving = lab.serving()[0]
    following = other(serving)
    why = "farmctl: only a pair in sync is verified, and on the node that serves\n"
    assert farmctl(lab, following, "verify").stderr == why
    lab.kill(following)
    lab.wait(serving, role="ALONE")
    assert farmctl(lab, serving, "verify").stderr == why
