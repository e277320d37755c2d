"""Two mirrors crossed on two nodes: each node serves one and follows in the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.mirror import MirrorLab, plain
from lab.topology import LAN
from tests.lab.mirrors import Recording, missing, other, wait_equal
from tests.lab.test_mirror_vip import has, wait_answer
from tests.lab.test_topology import name
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

FIRST, SECOND = "red", "blue"
VIPS = {FIRST: "10.0.0.211", SECOND: "10.0.0.212"}
FOLDERS = {FIRST: "/srv/red", SECOND: "/srv/blue"}
HOMES = {FIRST: "n1", SECOND: "n2"}
"""Who serves what while all is well."""


def text(mirror: str, port: int) -> str:
    return plain(mirror, [FOLDERS[mirror]], vips=f'["{VIPS[mirror]}"]', port=str(port))


@pytest.fixture(scope="module")
def lab() -> Iterator[MirrorLab]:
    with MirrorLab(name("crossed"), [text(FIRST, 5408), text(SECOND, 5409)], web=True) as built:
        for mirror, home in HOMES.items():
            if built.wait_pair(mirror) != home:
                built.farmctl(home, "swap", mirror=mirror)
        yield built


def served(lab: MirrorLab) -> dict[str, str]:
    """Who serves what, once both are pairs in sync."""
    return {mirror: lab.wait_pair(mirror) for mirror in HOMES}


def test_each_node_serves_one(lab: MirrorLab) -> None:
    assert served(lab) == HOMES
    for mirror, home in HOMES.items():
        wait_answer(lab, LAN, VIPS[mirror], home)
        assert has(lab, home, VIPS[mirror])
        assert not has(lab, other(home), VIPS[mirror])


def test_one_is_switched_off_the_other_serves_both_and_they_are_crossed_again(lab: MirrorLab) -> None:
    victim, lost, kept = HOMES[FIRST], FIRST, SECOND
    survivor = other(victim)
    ledgers = {mirror: Ledger() for mirror in HOMES}
    with (
        Recording(lab, ledgers[lost], victim, FOLDERS[lost]) as stopped,
        Recording(lab, ledgers[kept], survivor, FOLDERS[kept]) as goes_on,
    ):
        stopped.wait_more(300)
        lab.kill(victim)
        for mirror in HOMES:
            lab.wait(survivor, mirror, role="ALONE", readiness="ready")
            wait_answer(lab, LAN, VIPS[mirror], survivor)
        assert missing(lab, ledgers[lost], survivor, directory=FOLDERS[lost]) == []
        with Recording(lab, ledgers[lost], survivor, FOLDERS[lost]) as taken_over:
            taken_over.wait_more(300)
            lab.start(victim)
            assert served(lab) == dict.fromkeys(HOMES, survivor)
            goes_on.wait_more(300)
    for mirror in HOMES:
        wait_equal(lab, FOLDERS[mirror])
    lab.farmctl(survivor, "swap", mirror=lost)
    assert served(lab) == HOMES
    for mirror, home in HOMES.items():
        assert missing(lab, ledgers[mirror], home, directory=FOLDERS[mirror]) == []
        wait_answer(lab, LAN, VIPS[mirror], home)
