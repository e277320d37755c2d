"""The lab's description of itself, before anything is built."""

from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from farmd.config_file import load
from lab import cuts, services
from lab.errors import LabError
from lab.state import State
from lab.topology import FAR, LAN, NODES_MAX, ROUTER, SWITCH, VIPS, Topology, clients

LARGEST = Topology(nodes=NODES_MAX, networks=2)


def addresses(topology: Topology, place: str) -> list[str]:
    """What the place's batch assigns."""
    return [line.split()[2] for line in topology.addresses(place).splitlines() if line.startswith("addr add")]


def test_no_address_is_given_twice_and_none_is_a_vip() -> None:
    given = [ip_interface(address).ip for place in LARGEST.places for address in addresses(LARGEST, place)]
    assert len(given) == len(set(given)) == 16 * 3 + 4 + 2 * 2 * 64
    assert not set(given) & set(VIPS)


def test_every_node_client_and_vip_of_the_lan_is_on_the_routers_networks() -> None:
    networks = [ip_interface(address).network for address in addresses(LARGEST, ROUTER)[:2]]
    near = [ip_interface(address).ip for address in addresses(LARGEST, LAN)]
    near += [ip_address(LARGEST.node_addresses(node)[0]) for node in LARGEST.node_names]
    near += VIPS
    assert all(any(address in network for network in networks) for address in near)


def test_client_addresses() -> None:
    assert [str(address) for address in clients(LAN, 4, 2)] == ["10.0.1.1", "10.0.1.2"]
    assert str(clients(LAN, 6)[-1]) == "fd00::1:40"
    assert str(clients(FAR, 4)[-1]) == "192.168.7.64"
    with pytest.raises(LabError, match="64 client addresses, not 65"):
        clients(FAR, 6, 65)


@pytest.mark.parametrize(("nodes", "networks"), [(0, 1), (17, 1), (3, 0), (3, 3)])
def test_sizes_out_of_range_are_refused(nodes: int, networks: int) -> None:
    with pytest.raises(LabError, match="a lab has"):
        Topology(nodes, networks)


@pytest.mark.parametrize("name", ["", "Lab", "../etc", "a b", "-x", "x" * 33])
def test_names_that_are_no_names_are_refused(name: str) -> None:
    with pytest.raises(LabError, match="no name for a lab"):
        State(name)


def test_ports_are_unique_and_every_place_but_the_switch_has_a_cable() -> None:
    ports = [(cable.owner, cable.port) for place in LARGEST.places for cable in LARGEST.cables(place)]
    assert len(ports) == len(set(ports)) == 16 * 2 + 3
    assert [place for place in LARGEST.places if not LARGEST.cables(place)] == [SWITCH]
    assert all(len(port) <= 15 for _, port in ports)  # IFNAMSIZ


def test_a_cut_between_two_nodes_names_both_directions() -> None:
    assert cuts.pairs(Topology(), "n1", "n2", False, None) == [("n1", "n2"), ("n2", "n1")]


def test_a_one_way_cut_names_what_the_first_side_sends() -> None:
    assert cuts.pairs(Topology(), "n1", "n2", True, None) == [("n1", "n2")]


def test_groups_are_cut_pair_by_pair_and_far_is_the_routers_port() -> None:
    cut = cuts.pairs(Topology(), "n1,lan", "n2,far", True, None)
    assert set(cut) == {("n1", "n2"), ("n1", "router"), ("lan", "n2"), ("lan", "router")}


@pytest.mark.parametrize(
    ("network", "ports"),
    [(None, {("n1", "n2"), ("n1-hb", "n2-hb")}), (1, {("n1", "n2")}), (2, {("n1-hb", "n2-hb")})],
)
def test_two_networks_are_cut_together_or_one_by_one(network: int | None, ports: set[tuple[str, str]]) -> None:
    assert set(cuts.pairs(Topology(networks=2), "n1", "n2", True, network)) == ports


@pytest.mark.parametrize(
    ("side", "other", "network", "sentence"),
    [
        ("n1", "n9", None, "cannot cut 'n9'"),
        ("n1,n2", "n2,n3", None, "n2 cannot be on both sides"),
        ("far", "router", None, "router cannot be on both sides"),
        ("n1", "n2", 2, "no heartbeat network 2"),
        ("", "n2", None, "cannot cut ''"),
    ],
)
def test_impossible_cuts_are_refused(side: str, other: str, network: int | None, sentence: str) -> None:
    with pytest.raises(LabError, match=sentence):
        cuts.pairs(Topology(), side, other, False, network)


def test_cuts_in_words() -> None:
    assert cuts.described({("n1", "n2"), ("n2", "n1"), ("n3", "n1")}) == [
        "n1 and n2 do not hear each other",
        "n1 does not hear n3",
    ]


def test_farmd_accepts_the_configuration(tmp_path: Path) -> None:
    key, config = tmp_path / "web.key", tmp_path / "web.toml"
    key.write_text(services.key())
    key.chmod(0o600)
    config.write_text(services.farm_config(LARGEST).replace(services.KEY, str(key)))
    loaded = load(config)
    assert loaded.farm.vips == VIPS
    assert [node.name for node in loaded.nodes] == list(LARGEST.node_names)
    assert [str(address) for address in loaded.nodes[1].addresses] == ["10.0.0.2", "10.99.0.2"]
