"""Each network cut, each way, under load: at most one node serves what is promised, and nothing promised is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from lab.mirror import MirrorLab
from lab.topology import ROUTER
from lab.waiting import until
from tests.lab.mirrors import Recording, missing, other, restore, wait_equal
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

WITHIN_S = 20.0
CLIENTS, STREAM = 1, 2
"""The networks: the one with clients and router, and the one that the stream prefers."""
SILENT_MS = 2500
"""Longer than the suspicion time."""
STALLED_S = 7.0
"""TCP by itself needs 10 s to give up the network that the stream was on."""


@pytest.fixture
def lab(pair: MirrorLab) -> Iterator[MirrorLab]:
    restore(pair)
    yield pair
    restore(pair)
    wait_equal(pair)


@pytest.fixture
def ledger(lab: MirrorLab) -> Ledger:
    """The writers of this test have the directory for themselves."""
    serving = lab.serving()[0]
    lab.exec(serving, "sh", "-c", "rm -rf /srv/data/*")
    return Ledger()


def wait_silent(lab: MirrorLab, node: str, network: int) -> None:
    """Wait until a node has not heard its peer on this network for longer than it takes to suspect it."""
    at = {STREAM: 0, CLIENTS: 1}[network]

    def silent() -> bool:
        return bool(lab.status(node)["peer"]["networks"][at]["heard_ms_ago"] > SILENT_MS)

    until(silent, f"network {network} to be silent", WITHIN_S, interval_s=0.05)


@pytest.mark.parametrize("one_way", [False, True], ids=["both ways", "one way"])
@pytest.mark.parametrize("network", [CLIENTS, STREAM])
def test_one_network_is_enough(lab: MirrorLab, ledger: Ledger, network: int, one_way: bool) -> None:
    serving = lab.serving()[0]
    with Recording(lab, ledger, serving) as recording:
        cut_at = time.monotonic()
        lab.cut(serving, other(serving), one_way=one_way, network=network)
        wait_silent(lab, other(serving), network)
        recording.wait_more(300, WITHIN_S)
        assert time.monotonic() - cut_at < STALLED_S
        assert lab.serving() == [serving]
        lab.heal()
        lab.wait_pair()
        recording.wait_more(500)
    assert lab.serving() == [serving]
    assert missing(lab, ledger, serving) == []


@pytest.mark.parametrize("side", ["serving", "following"])
def test_a_node_that_is_cut_off_from_everything_does_not_serve(lab: MirrorLab, ledger: Ledger, side: str) -> None:
    serving = lab.serving()[0]
    victim = serving if side == "serving" else other(serving)
    survivor = other(victim)
    with Recording(lab, ledger, serving) as recording:
        recording.wait_more(300)
        lab.cut(victim, f"{survivor},{ROUTER},lan")
        until(lambda: lab.status(victim).get("role") == "WAIT", f"{victim} to fence itself", WITHIN_S)
        lab.wait(survivor, role="ALONE", readiness="ready")
    assert missing(lab, ledger, survivor) == []
    with Recording(lab, ledger, survivor) as recording:
        recording.wait_more(300)
        lab.heal()
        lab.wait_pair()
        recording.wait_more(300)
    assert lab.serving() == [survivor]
    assert missing(lab, ledger, survivor) == []


def test_without_the_witness_nobody_takes_over_from_a_peer_that_is_silent(lab: MirrorLab, ledger: Ledger) -> None:
    """It cannot tell a dead peer from a dead network."""
    serving = lab.serving()[0]
    follower = other(serving)
    with Recording(lab, ledger, serving):
        lab.cut(follower, f"{serving},{ROUTER}")
    lab.wait(follower, role="WAIT")
    lab.heal()
    lab.wait_pair()
    assert missing(lab, ledger, lab.serving()[0]) == []


def test_the_witness_alone_gone_changes_nothing(lab: MirrorLab, ledger: Ledger) -> None:
    serving = lab.serving()[0]
    with Recording(lab, ledger, serving) as recording:
        lab.cut("n1,n2", ROUTER)
        recording.wait_more(3000, WITHIN_S)
        assert lab.wait_pair() == serving
    assert missing(lab, ledger, serving) == []
