"""A resync is cut off in its middle, again and again, on either side: it goes on, and nothing acknowledged is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from signal import SIGKILL
from typing import Any

import pytest

from lab.mirror import MirrorLab, quick
from lab.waiting import until
from tests.lab.mirrors import DATA, Recording, mend, missing, other, reload, restore, wait_equal
from tests.lab.test_topology import name
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

SLOW, FAST = quick(resync_rate_mb_s="4"), quick(resync_rate_mb_s="1000")
FILES, FILE_MB = 10, 10
"""At the slow rate that takes 25 seconds, so that no resync is at its end before it is cut off."""
MIDDLE_BYTES = 6_000_000
"""Sent by then."""
WITHIN_S = 20.0

Fault = Callable[[MirrorLab, str], None]


def kill_daemon(lab: MirrorLab, node: str) -> None:
    lab.crash(node)


def kill_both(lab: MirrorLab, node: str) -> None:
    lab.signal_volume(node, SIGKILL)
    lab.crash(node)


def power_off(lab: MirrorLab, node: str) -> None:
    lab.kill(node)


FAULTS: list[Fault] = [kill_daemon, kill_both, power_off]


@pytest.fixture(scope="module")
def built() -> Iterator[MirrorLab]:
    with MirrorLab(name("resync"), [SLOW]) as lab:
        yield lab


@pytest.fixture
def source(built: MirrorLab) -> str:
    """The node that serves, alone, with much that the other one has yet to get; all of it is on its disk."""
    source = restore(built)
    built.kill(other(source))
    built.wait(source, role="ALONE", readiness="ready")
    fill = f"for n in $(seq {FILES}); do head -c {FILE_MB}M /dev/urandom > {DATA}/$n; done"
    built.exec(source, "sh", "-c", f"rm -rf {DATA}/*; {fill}; sync -f /srv")
    reload(built, source, SLOW)
    return source


@pytest.mark.parametrize("side", ["source", "target"])
def test_it_is_cut_off_in_its_middle_and_goes_on(built: MirrorLab, source: str, side: str) -> None:
    """M2, M3. Meanwhile the source serves, and who is not in sync waits; what has arrived is not sent again."""
    lab, ledger, target = built, Ledger(), other(source)
    victim = source if side == "source" else target
    lab.start(target)
    for number, fault in enumerate(FAULTS):
        with Recording(lab, ledger, source):
            progress = wait_middle(lab, source)
            assert number == 0 or progress["done_bytes"] - progress["sent_bytes"] > MIDDLE_BYTES // 2
            fault(lab, victim)
            if side == "source":
                lab.wait(target, role="WAIT")
        mend(lab)
        lab.wait(source, role="ALONE", readiness="ready")
        lost = missing(lab, ledger, source, durable=fault is power_off)
        assert lost == [], f"after {fault.__name__}"
    wait_middle(lab, source)
    reload(lab, source, FAST)
    assert lab.wait_pair() == source
    wait_equal(lab)


def wait_middle(lab: MirrorLab, source: str) -> dict[str, Any]:
    """Wait until a resync is in its middle; how far it is."""
    seen: dict[str, Any] = {}

    def is_there() -> bool:
        nonlocal seen
        seen = lab.status(source).get("progress") or {}
        return bool(seen) and seen["sent_bytes"] > MIDDLE_BYTES

    until(is_there, "a resync to be in its middle", WITHIN_S, interval_s=0.02)
    return seen
