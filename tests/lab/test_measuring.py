"""The lab's measuring clients and its watch for duplicate answers, on networks where the truth is known."""

import time
from collections.abc import Iterator

import pytest

from lab.measure import Measurement, downloads, duplicates, requests
from lab.network import Lab
from lab.topology import FAR, LAN, VIPS
from lab.waiting import until
from tests.lab.test_topology import name

pytestmark = pytest.mark.needs_root

VIP, VIP6 = (str(vip) for vip in VIPS)
SHARED_MAC = "02:00:00:00:0f:0f"


@pytest.fixture(scope="module")
def built() -> Iterator[Lab]:
    lab = Lab(name("measuring"), nodes=2)
    lab.up(start=False)
    yield lab
    lab.down()


@pytest.fixture
def lab(built: Lab) -> Iterator[Lab]:
    """The shared lab; nodes that were given something or killed come back fresh."""
    yield built
    for node in ("n1", "n2"):
        if built.powered(node):
            built.kill(node)
        built.boot(node)
    built.exec(LAN, "ip", "neigh", "flush", "dev", "eth0")


def give_vips(lab: Lab, node: str, mac: str) -> None:
    """Let a node answer for the VIPs, with an Ethernet address that the switch does not learn."""
    lab.exec(node, "ip", "addr", "add", f"{VIP}/32", "dev", "eth0")
    lab.exec(node, "ip", "addr", "add", f"{VIP6}/128", "dev", "eth0", "nodad")
    lab.exec("switch", "bridge", "link", "set", "dev", node, "learning", "off")
    lab.exec("switch", "bridge", "fdb", "flush", "dev", "br0")
    lab.exec(node, "ip", "link", "set", "eth0", "address", mac)


@pytest.mark.parametrize(("place", "target"), [(LAN, VIP), (LAN, VIP6), (FAR, VIP), (FAR, VIP6)])
def test_64_clients_are_answered_by_one_node(lab: Lab, place: str, target: str) -> None:
    give_vips(lab, "n2", SHARED_MAC)
    with duplicates(lab, place) as watch, requests(lab, place, target) as clients:
        pass
    seen, result = watch.result(), clients.result()
    assert result["clients"] == 64 == len(result["per_client"])
    assert result["failed"] == 0
    assert result["requests"] == result["nodes"]["n2"] >= 64
    assert result["gap_ms"] == 0
    assert seen["questions"] >= result["requests"]
    assert seen["answered"] >= result["requests"]
    assert seen["duplicates"] == seen["missed"] == 0
    assert seen["vmac_sources"] == (1 if place == LAN else 0)  # n2 is no farm: it sends from the address it has


@pytest.mark.parametrize("target", [VIP, VIP6])
def test_two_nodes_that_answer_and_send_from_the_vmac_are_noticed(lab: Lab, target: str) -> None:
    for node in ("n1", "n2"):
        give_vips(lab, node, SHARED_MAC)
    with duplicates(lab) as watch, requests(lab, LAN, target, count=4):
        pass
    assert watch.result()["duplicates"] >= 4
    assert watch.result()["vmac_sources"] == 1
    assert " got SYN-ACK " in watch.result()["examples"][0]


def test_an_outage_is_measured_by_every_client(lab: Lab) -> None:
    give_vips(lab, "n2", SHARED_MAC)
    with requests(lab, LAN, VIP, interval_ms=20) as clients:
        lab.cut("lan", "n2")
        cut_at = time.monotonic()
        until(lambda: time.monotonic() - cut_at > 0.5, "half a second of outage")
        healed_at = time.monotonic()
        lab.heal()
        until(lambda: time.monotonic() - healed_at > 0.5, "the clients to try again")
    for client in clients.result()["per_client"].values():
        assert 0.4 < client["gap"][1] - client["gap"][0] < 0.9
        began, ended = client["gap"]
        # What had come to a client before the cut, it reads a few ms after it when the processors are busy.
        assert cut_at - 0.2 < began < cut_at + 0.05
        assert healed_at < ended
        assert all(error == "timeout" for _, _, error in client["failures"])


def test_a_refused_connection_is_a_failure(lab: Lab) -> None:
    with requests(lab, LAN, "10.0.0.1", count=2, port=81) as clients:
        pass
    for client in clients.result()["per_client"].values():
        assert client["failed"] == client["requests"] > 0
        assert client["failures"][0][2] == "ConnectionRefusedError"


def downloading(lab: Lab, bytes_each: int, **options: float) -> Measurement:
    return downloads(lab, LAN, "fd00::1", downloads=100, bytes=bytes_each, **options)


def test_downloads_come_whole(lab: Lab) -> None:
    with downloading(lab, 100_000) as running:
        result = running.finish(timeout_s=20)
    assert (result["complete"], result["broken"], result["unfinished"]) == (100, 0, 0)
    assert result["bytes"] == 100 * 100_000
    assert {download["node"] for download in result["each"]} == {"n1"}


def test_downloads_that_are_stopped_are_not_broken(lab: Lab) -> None:
    with downloading(lab, 40_000_000) as running:
        result = running.stop()
    assert (result["complete"], result["broken"], result["unfinished"]) == (0, 0, 100)


def test_downloads_from_a_node_that_dies_are_broken(lab: Lab) -> None:
    with downloading(lab, 40_000_000, silence_s=0.5) as running:
        lab.kill("n1")
        result = running.finish(timeout_s=20)
    assert (result["complete"], result["broken"], result["unfinished"]) == (0, 100, 0)
    assert result["each"][0]["error"] == "timeout"
