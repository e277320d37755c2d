"""Who answers whom while all is well."""

from __future__ import annotations

import pytest

from lab.network import Lab
from lab.topology import CLIENTS, LAN
from tests.lab.nodes import NODES, owners, status
from tests.lab.watching import watched

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
        counters = status(farm, node)["counters"]
        passed = sum(counters[name] - before[node][name] for name in ("owned", "filling"))
        dropped = counters["drop_other"] - before[node]["drop_other"]
        elsewhere = sum(count for other, count in answers.items() if other != node)
        assert passed >= 4 * answers[node]
        assert dropped >= 4 * elsewhere
        assert counters["drop_fenced"] == before[node]["drop_fenced"]
        assert counters["drop_malformed"] == 0


def test_the_clients_are_spread_over_the_nodes(farm: Lab) -> None:
    """256 clients of three equal nodes: 85 each, and with a fair hash less than 55 of one node once in 60,000 runs."""
    with watched(farm, count=CLIENTS, interval_ms=250) as clients:
        pass
    assert all(55 <= len(clients.served_by(node)) <= 120 for node in NODES)
    shares = [owners(farm, "n1").count(node) for node in NODES]
    assert sum(shares) == 1024
    assert max(shares) - min(shares) <= 1


def test_packets_are_counted_in_their_buckets(farm: Lab) -> None:
    from tests.lab.nodes import farmctl

    before = {node: farmctl(farm, node, "buckets")["packets"] for node in NODES}
    with watched(farm, places=(LAN,), interval_ms=250) as clients:
        pass
    for node in NODES:
        after = farmctl(farm, node, "buckets")
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
