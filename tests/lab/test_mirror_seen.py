"""What load balancers, Prometheus and people see of a real mirror: the health page of both nodes, and `farmctl top`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab import machine, services
from lab.mirror import NODES, MirrorLab, plain
from lab.topology import LAN
from lab.waiting import until
from tests.lab.test_topology import name
from tests.unit.terminals import Terminal

pytestmark = pytest.mark.needs_root

SERVING_S = 20.0
"""For a failover, with all that a loaded machine adds to it."""
WRITE = "i=0; while :; do echo $i > /srv/data/f; i=$((i + 1)); done"


@pytest.fixture(scope="module")
def built() -> Iterator[MirrorLab]:
    with MirrorLab(name("seen"), [plain()]) as lab:
        yield lab


@pytest.fixture
def lab(built: MirrorLab) -> Iterator[MirrorLab]:
    """n1 serves, n2 is in sync, both have a health page."""
    _restore(built)
    yield built
    _restore(built)


def _restore(lab: MirrorLab) -> None:
    for node in NODES:
        if not lab.powered(node):
            lab.start(node)
        if lab.machine(node).service("farm-health") is None:
            lab.start_health(node)
    if lab.wait_pair() != "n1":
        lab.farmctl("n1", "swap")
        lab.wait_pair()


def pages(lab: MirrorLab) -> list[tuple[str, bool]]:
    """The status and whether it is degraded, of each node that is on."""
    found = []
    for node in filter(lab.powered, NODES):
        url = f"http://127.0.0.1:{services.HEALTH_PORT}/mirror/data"
        said = lab.exec(node, "curl", "-si", "--max-time", "2", url, check=False).stdout
        found.append((said.split(" ")[1] if said else "", "x-envoy-degraded" in said.lower()))
    return found


def scraped(lab: MirrorLab, node: str) -> dict[str, float]:
    """The samples of a mirror's metrics that have no labels of their own, and its role."""
    text = lab.exec(node, "curl", "-s", f"http://127.0.0.1:{services.METRICS_PORT}/metrics").stdout
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {sample.name: sample.value for sample in samples if sample.labels.keys() == {"mirror", "node"}}
    roles = [sample for sample in samples if sample.name == "mirrord_role" and sample.value == 1]
    return found | {sample.labels["state"]: 1 for sample in roles}


def wait_pages(lab: MirrorLab, *wanted: tuple[str, bool]) -> None:
    until(lambda: pages(lab) == list(wanted), f"the pages to say {wanted}", SERVING_S)


def test_the_page_is_200_where_the_mirror_is_served(lab: MirrorLab) -> None:
    wait_pages(lab, ("200", False), ("503", False))
    lab.farmctl("n1", "swap")
    wait_pages(lab, ("503", False), ("200", False))
    lab.kill("n2")
    wait_pages(lab, ("200", True))


def test_the_page_is_reached_through_the_virtual_address(lab: MirrorLab) -> None:
    url = f"http://10.0.0.210:{services.HEALTH_PORT}/mirror/data"

    def asked(place: str) -> str:
        code = ("-o", "/dev/null", "-w", "%{http_code}")
        return lab.exec(place, "curl", "-s", *code, "--max-time", "1", url, check=False).stdout

    for serving in ("n1", "n2"):
        if serving != lab.serving()[0]:
            lab.farmctl("n1", "swap")
        for place in (LAN, *NODES):
            until(lambda place=place: asked(place) == "200", f"{serving} to answer {place}", SERVING_S)  # type: ignore[misc]


def test_metrics_follow_the_roles(lab: MirrorLab) -> None:
    writer = lab.popen("n1", "sh", "-c", WRITE)
    try:
        until(lambda: scraped(lab, "n1").get("mirrord_changes_per_second", 0) > 0, "writes to be counted", SERVING_S)
    finally:
        writer.terminate()
        writer.communicate()
    first, second = scraped(lab, "n1"), scraped(lab, "n2")
    assert (first["PRIM"], first["mirrord_serves"], first["mirrord_in_sync"]) == (1, 1, 1)
    assert (second["SECOND"], second["mirrord_serves"], second["mirrord_in_sync"]) == (1, 0, 1)
    assert first["mirrord_generation"] == second["mirrord_generation"] >= 1
    assert first["mirrord_witness_configured"] == 1
    lab.kill("n1")
    until(lambda: scraped(lab, "n2").get("ALONE") == 1, "n2 to serve alone", SERVING_S)
    third = scraped(lab, "n2")
    assert (third["mirrord_serves"], third["mirrord_in_sync"]) == (1, 0)
    assert third["mirrord_generation"] > first["mirrord_generation"]


def test_top_follows_a_failover(lab: MirrorLab) -> None:
    with Terminal(lab.machine("n2").enter(*services.farmctl("top")), PATH=machine.PATH) as terminal:
        terminal.until_shown("n1 serves, n2 is in sync")
        terminal.until_shown("━▶")
        lab.kill("n1")
        terminal.until_shown("n2 serves alone")
        terminal.until_shown("S I L E N T")
        lab.start("n1")
        terminal.until_shown("n2 serves, n1 is in sync")
        terminal.until_shown("◀━")
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.restored()
