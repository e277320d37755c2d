"""With `ack = "disk"` whatever was acknowledged outlives a power cut of both nodes, synced or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.mirror import NODES, MirrorLab, quick
from tests.lab.mirrors import Recording, missing, other, wait_equal
from tests.lab.test_topology import name
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root


@pytest.fixture
def lab() -> Iterator[MirrorLab]:
    with MirrorLab(name("ack-disk"), [quick(ack='"disk"')]) as lab:
        lab.wait_pair()
        yield lab


@pytest.mark.parametrize("first", NODES)
def test_both_lose_their_power_at_once(lab: MirrorLab, first: str) -> None:
    ledger, serving = Ledger(), lab.serving()[0]
    with Recording(lab, ledger, serving) as recording:
        recording.wait_more(500)
        for node in (serving, other(serving)):
            lab.kill(node)
    lab.start(first)
    lab.start(other(first))
    serves = lab.wait_pair()
    assert missing(lab, ledger, serves) == []
    wait_equal(lab)
