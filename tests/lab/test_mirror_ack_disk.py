"""With `ack = "disk"` whatever was acknowledged outlives a power cut of both nodes, on each of them, synced or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.mirror import NODES, MirrorLab, quick
from tests.lab.mirrors import DATA, Recording, missing, other, restore, wait_equal
from tests.lab.test_topology import name
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

NAMES_ONLY = f"""
cd {DATA}
mkdir folder; mkdir folder/inner; mkdir gone; rmdir gone
mkdir before; mv before folder/after
ln -s nowhere link; mkfifo pipe; chmod 711 folder; chown 1:2 pipe
"""
"""None of it is content, which would bring the rest with it."""
MADE = "folder 711\nfolder/after 755\nfolder/inner 755\nlink 777\npipe 644\n"


@pytest.fixture(scope="module")
def built() -> Iterator[MirrorLab]:
    with MirrorLab(name("ack-disk"), [quick(ack='"disk"')]) as lab:
        yield lab


@pytest.fixture
def lab(built: MirrorLab) -> Iterator[MirrorLab]:
    serving = restore(built)
    built.exec(serving, "sh", "-c", f"rm -rf {DATA}/*")
    yield built
    restore(built)
    wait_equal(built)


def cut_both(lab: MirrorLab) -> None:
    """Both lose their power, and have it again, but no mirror runs."""
    serving = lab.serving()[0]
    for node in (serving, other(serving)):
        lab.kill(node)
    for node in NODES:
        lab.boot(node)


def test_what_applications_did(lab: MirrorLab) -> None:
    ledger = Ledger()
    with Recording(lab, ledger, lab.serving()[0]) as recording:
        recording.wait_more(500)
        cut_both(lab)
    assert {node: missing(lab, ledger, node) for node in NODES} == {node: [] for node in NODES}


def test_names_without_content(lab: MirrorLab) -> None:
    lab.exec(lab.serving()[0], "sh", "-ec", NAMES_ONLY)
    cut_both(lab)
    for node in NODES:
        found = lab.exec(node, "find", DATA, "-mindepth", "1", "-printf", "%P %m\n").stdout
        assert "".join(sorted(found.splitlines(keepends=True))) == MADE, node
