"""A node that may go on without its peer, and whose disk does not take that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.mirror import MirrorLab, quick
from lab.waiting import until
from tests.lab.mirrors import Recording, missing, other, wait_equal
from tests.lab.test_topology import name
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

STATE = "/var/lib/mirrord/data/state.*"
REFUSED = "the disk does not take this node's state: Operation not permitted"


@pytest.fixture
def lab() -> Iterator[MirrorLab]:
    with MirrorLab(name("refusing"), [quick()]) as lab:
        yield lab


def test_it_says_why_changes_wait_and_gives_way_as_soon_as_its_peer_can_serve(lab: MirrorLab) -> None:
    ledger, served = Ledger(), lab.wait_pair()
    there = other(served)
    with Recording(lab, ledger, served) as recording:
        recording.wait_more(100)
        lab.exec(served, "sh", "-c", f"chattr +i {STATE}")
        lab.crash(there)
        lab.wait(served, role="PRIM", readiness="not-ready", reason=f"changes wait, since {REFUSED}")
        until(lambda: lab.status(served)["figures"]["held"] > 0, "changes to wait")
        lab.start(there)
        lab.wait(there, role="ALONE", readiness="ready")
    assert lab.status(served)["role"] == "WAIT"
    assert [event["text"] for event in lab.status(served)["events"]].count(REFUSED) == 1
    assert missing(lab, ledger, there) == []
    lab.exec(served, "sh", "-c", f"chattr -i {STATE}")
    assert lab.wait_pair() == there
    wait_equal(lab)
