"""A node's disk: its own, and cut off by a power cut as a real one is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.mirror import NODES, MirrorLab, plain
from lab.mirror_disk import ROOT, Disk
from tests.lab.test_topology import inside, name, wait_nothing_left

pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def lab() -> Iterator[MirrorLab]:
    built = MirrorLab(name("disk"), [plain()])
    built.up(start=False)
    yield built
    known = inside(built)
    built.down()
    assert not (ROOT / f"farm-lab.{built.name}").exists()
    wait_nothing_left(built, known)


def shell(lab: MirrorLab, node: str, script: str) -> str:
    return lab.exec(node, "sh", "-c", script).stdout


def test_both_nodes_have_the_same_path_and_not_the_same_files(lab: MirrorLab) -> None:
    shell(lab, "n1", "echo one > /srv/data/own; echo one > /var/lib/own")
    assert "own" not in shell(lab, "n2", "ls /srv/data /var/lib").split()
    assert shell(lab, "n1", "stat -f -c %T /srv/data") == "ext2/ext3\n"
    assert "data.toml" in shell(lab, "n1", "ls /etc/farmd")
    assert shell(lab, "n1", "stat -c %a /etc/farmd/data.key") == "600\n"


def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(lab: MirrorLab) -> None:
    script = "for file in $(seq 20); do echo kept > synced-$file; sync synced-$file; echo lost > unsynced-$file; done"
    shell(lab, "n2", f"cd /srv/data && {script}")
    lab.kill("n2")
    assert not lab.powered("n2")
    lab.boot("n2")
    assert shell(lab, "n2", "cd /srv/data; cat synced-*") == "kept\n" * 20
    assert "lost" not in shell(lab, "n2", "cd /srv/data; cat unsynced-* || true")


def test_what_still_runs_after_the_cut_writes_nothing_any_more(lab: MirrorLab) -> None:
    shell(lab, "n1", "echo before > /srv/data/file; sync /srv/data/file")
    disk = Disk(lab.name, "n1")
    disk.cut_power(lab.machine("n1"))
    done = lab.exec("n1", "sh", "-c", "echo after > /srv/data/file", check=False)
    assert done.returncode
    lab.kill("n1")
    lab.boot("n1")
    assert shell(lab, "n1", "cat /srv/data/file") == "before\n"


@pytest.mark.parametrize("node", NODES)
def test_a_disk_outlives_its_machine(lab: MirrorLab, node: str) -> None:
    shell(lab, node, "echo there > /srv/keeps; sync /srv/keeps")
    for _ in range(2):
        lab.kill(node)
        lab.boot(node)
    assert shell(lab, node, "cat /srv/keeps") == "there\n"
