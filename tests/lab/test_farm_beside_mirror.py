"""A mirror and a farm on the same two nodes and the same interface: neither notices what becomes of the other.

Both have virtual MACs, and the nodes' nginx answers for both addresses; so clients see who serves what.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from signal import SIGKILL

import pytest

from lab.mirror import NODES, MirrorLab, plain
from lab.network import Lab
from lab.topology import LAN
from tests.lab.mirrors import DATA, Recording, missing, other, restore
from tests.lab.nodes import filter_programs
from tests.lab.test_topology import name
from tests.lab.watching import VIP, Clients, wait_answers, watched
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

MIRROR_VIP = "10.0.0.210"
CLIENTS = 16


@pytest.fixture(scope="module")
def built() -> Iterator[MirrorLab]:
    with MirrorLab(name("beside"), [plain()], web=True) as lab:
        yield lab


@pytest.fixture
def ledger(lab: MirrorLab) -> Ledger:
    """The writers of this test have the directory for themselves."""
    lab.exec(lab.serving()[0], "sh", "-c", f"rm -rf {DATA}/*")
    return Ledger()


@pytest.fixture
def lab(built: MirrorLab) -> MirrorLab:
    """A pair in sync, and a farm of both nodes."""
    restore(built)
    for node in NODES:
        if built.farmd_pid(node) is None:
            built.start_farm(node)
    built.wait_converged(*NODES)
    return built


def owners(lab: MirrorLab) -> list[str]:
    """The owner of every bucket of the farm."""
    return list(lab.ask("n1", "buckets")["owners"])


def last_event(lab: MirrorLab, node: str) -> str:
    """What has happened to the mirror last, as a node tells."""
    return str(lab.status(node)["events"][-1]["text"])


@contextlib.contextmanager
def asking(lab: MirrorLab, vip: str) -> Iterator[Clients]:
    """Clients that ask one of the two addresses all the time; none of them goes without an answer."""
    with watched(lab, places=(LAN,), targets=(vip,), vips=(VIP, MIRROR_VIP), count=CLIENTS) as clients:
        yield clients
        wait_answers(clients, 2)
    assert not clients.failures


def test_both_are_served_through_one_filter(lab: MirrorLab) -> None:
    with asking(lab, VIP) as farms, asking(lab, MIRROR_VIP) as mirrors:
        pass
    assert set(farms.answers) == set(NODES)
    assert set(mirrors.answers) == set(lab.serving())
    for node in NODES:
        attached = json.loads(lab.exec(node, "ip", "-json", "link", "show", "eth0").stdout)[0]["xdp"]["prog"]["id"]
        asked_by_tc = lab.exec(node, "tc", "filter", "show", "dev", "eth0", "ingress").stdout.count(" bpf ")
        assert attached == filter_programs(lab, node)[0]
        assert asked_by_tc == 2, "a head and one filter"


def test_the_farm_does_not_notice_that_the_mirror_moves(lab: MirrorLab) -> None:
    before = owners(lab)
    with asking(lab, VIP) as farms:
        for fail in (freeze, kill):
            serving = lab.serving()[0]
            fail(lab, serving)
            lab.wait(other(serving), role="ALONE", readiness="ready")
            assert restore(lab) == other(serving)
        serving = lab.serving()[0]
        lab.farmctl(serving, "swap")
        lab.wait(other(serving), role="PRIM", readiness="ready")
    assert farms.steady
    assert owners(lab) == before


def freeze(lab: MirrorLab, node: str) -> None:
    lab.freeze(node)


def kill(lab: MirrorLab, node: str) -> None:
    lab.crash(node)
    lab.signal_volume(node, SIGKILL)


def test_the_mirror_does_not_notice_that_the_farm_changes(lab: MirrorLab, ledger: Ledger) -> None:
    serving = lab.serving()[0]
    before = last_event(lab, serving)
    with asking(lab, MIRROR_VIP) as mirrors, Recording(lab, ledger, serving) as recording:
        Lab.freeze(lab, serving)
        lab.wait_converged(other(serving))
        Lab.thaw(lab, serving)
        lab.wait_converged(*NODES)
        lab.stop_farm(serving)
        lab.wait_converged(other(serving))
        lab.start_farm(serving)
        lab.wait_converged(*NODES)
        lab.exec(serving, "kill", "-KILL", str(lab.ask(serving)["pid"]))
        lab.wait_converged(other(serving))
        recording.wait_more(300)
    assert set(mirrors.answers) == {serving}
    assert last_event(lab, serving) == before
    assert missing(lab, ledger, serving) == []


def test_a_power_cut_moves_both(lab: MirrorLab, ledger: Ledger) -> None:
    serving = lab.serving()[0]
    survivor = other(serving)
    with Recording(lab, ledger, serving) as recording:
        recording.wait_more(300)
        lab.kill(serving)
        lab.wait_converged(survivor)
        lab.wait(survivor, role="ALONE", readiness="ready")
    with asking(lab, VIP) as farms, asking(lab, MIRROR_VIP) as mirrors:
        pass
    assert set(farms.answers) == set(mirrors.answers) == {survivor}
    assert missing(lab, ledger, survivor) == []
