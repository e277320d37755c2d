"""Who answers whom while all is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from lab.measure import downloads
from lab.network import Lab
from lab.topology import CLIENTS, FAR, LAN, ROUTER
from tests.lab.nodes import NODES, owners, status
from tests.lab.watching import VIP, VIP6, watched

pytestmark = pytest.mark.needs_root


def test_every_client_is_answered_by_one_node_and_always_the_same(farm: Lab) -> None:
    with watched(farm, count=CLIENTS, interval_ms=250):
        pass  # every client has asked, so ARP and routes are known
    before = {node: status(farm, node)["counters"] for node in NODES}
    with watched(farm, count=CLIENTS, interval_ms=250) as first:
        pass
    with watched(farm, count=CLIENTS, interval_ms=250) as again:
        pass
    assert first.failures == again.failures == []
    assert first.steady
    assert again.steady
    assert len(first.each) == 4 * CLIENTS
    for address, client in first.each.items():
        assert client["nodes"].keys() == again.each[address]["nodes"].keys()
    check_counters(farm, before, first.answers + again.answers)


def check_counters(farm: Lab, before: dict[str, dict[str, int]], answers: dict[str, int]) -> None:
    """Every answer cost its node at least four packets (SYN, ACK, request, FIN), and each other one as many drops."""
    for node in NODES:
        after = status(farm, node)["counters"]
        grown = Counter({name: count - before[node][name] for name, count in after.items()})
        elsewhere = sum(count for other, count in answers.items() if other != node)
        # Until the farm has settled after its start, buckets may be filled by their owner and drained by the others.
        assert grown["owned"] + grown["filling"] >= 4 * answers[node], grown
        assert grown["drop_other"] + grown["drop_draining"] >= 4 * elsewhere, grown
        assert grown["drop_fenced"] == grown["drop_malformed"] == 0, grown


def test_the_clients_are_spread_over_the_nodes(farm: Lab) -> None:
    """256 clients of three equal nodes: 85 each, and with a fair hash outside of these bounds once in 700,000 runs."""
    with watched(farm, count=CLIENTS, interval_ms=250) as clients:
        pass
    assert all(50 <= len(clients.served_by(node)) <= 125 for node in NODES)
    shares = [owners(farm, "n1").count(node) for node in NODES]
    assert sum(shares) == 1024
    assert max(shares) - min(shares) <= 1


def test_packets_are_counted_in_their_buckets(farm: Lab) -> None:
    before = {node: farm.ask(node, "buckets")["packets"] for node in NODES}
    with watched(farm, places=(LAN,), interval_ms=250) as clients:
        pass
    for node in NODES:
        after = farm.ask(node, "buckets")
        grown = [bucket for bucket, count in enumerate(after["packets"]) if count > before[node][bucket]]
        assert {after["owners"][bucket] for bucket in grown} <= {node}
        assert 0 < len(grown) <= len(clients.served_by(node))


def test_the_switch_never_learns_the_vmac(farm: Lab) -> None:
    vmac = status(farm, "n1")["vmac"]
    with watched(farm) as clients:
        pass
    learnt = farm.exec("switch", "bridge", "fdb", "show", "br", "br0").stdout
    assert all(farm.exec(node, "cat", "/sys/class/net/eth0/address").stdout.strip() in learnt for node in NODES)
    assert vmac not in learnt
    assert vmac in farm.exec(LAN, "ip", "neigh").stdout
    assert clients.failures == []


@pytest.fixture
def narrow(farm: Lab) -> Iterator[Lab]:
    """The way to the far clients takes smaller packets than the nodes think."""
    farm.exec(ROUTER, "ip", "link", "set", "far", "mtu", "1300")
    yield farm
    farm.exec(ROUTER, "ip", "link", "set", "far", "mtu", "1500")
    for node in NODES:
        for family in ("-4", "-6"):
            farm.exec(node, "ip", family, "route", "flush", "cache")


@pytest.mark.parametrize(
    ("target", "counter"), [(VIP, "IcmpInDestUnreachs"), (VIP6, "Icmp6InPktTooBigs")], ids=["IPv4", "IPv6"]
)
def test_path_mtu_discovery_reaches_the_clients_node_and_no_other(narrow: Lab, target: str, counter: str) -> None:
    """The router says "too big" to the VIP; what matters is the client in the packet that it quotes."""
    before = {node: counted_by_kernel(narrow, node, counter) for node in NODES}
    with downloads(narrow, FAR, target, downloads=1, bytes=200_000) as running:
        result = running.finish(timeout_s=20)
    grown = {node for node in NODES if counted_by_kernel(narrow, node, counter) > before[node]}
    assert result["complete"] == 1
    assert grown == {result["each"][0]["node"]}


def counted_by_kernel(farm: Lab, node: str, counter: str) -> int:
    """A counter of the node's network stack (nstat(8))."""
    line = farm.exec(node, "nstat", "--zeros", "--ignore", counter).stdout.splitlines()[-1]
    name, count, _ = line.split()
    assert name == counter
    return int(count)
