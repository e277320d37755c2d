"""DRAINING and FILLING with real connections: the filter asks the kernel whether a packet's flow lives here."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.datapath import model
from tests.datapath.farm import Farm, Programs, open_farm
from tests.datapath.namespaces import run
from tests.datapath.packets import CLIENT4, CLIENT6, CLIENT_PORT, PACKETS, VIP4, VIP6, VIP_PORT

pytestmark = pytest.mark.needs_root

FAMILIES: dict[str, tuple[socket.AddressFamily, model.Address, model.Address]] = {
    "v4": (socket.AF_INET, CLIENT4, VIP4),
    "v6": (socket.AF_INET6, CLIENT6, VIP6),
}


@contextlib.contextmanager
def addresses() -> Iterator[None]:
    """Both ends of the connections are this host's."""
    every = [f"{address}/{address.max_prefixlen}" for address in (CLIENT4, VIP4, CLIENT6, VIP6)]
    for address in every:
        run(f"ip address add {address} dev lo" + (" nodad" if ":" in address else ""))
    yield
    for address in every:
        run(f"ip address del {address} dev lo")


@contextlib.contextmanager
def listener(family: str) -> Iterator[socket.socket]:
    kind, _, vip = FAMILIES[family]
    with socket.create_server((str(vip), VIP_PORT), family=kind) as server:
        yield server


@contextlib.contextmanager
def connection(server: socket.socket, family: str) -> Iterator[None]:
    """The connection that the packets in PACKETS belong to; gone without trace afterwards."""
    kind, client, vip = FAMILIES[family]
    with socket.socket(kind, socket.SOCK_STREAM) as near:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset: no TIME_WAIT
        near.bind((str(client), CLIENT_PORT))
        near.connect((str(vip), VIP_PORT))
        far, _ = server.accept()
        with far:
            yield


@pytest.fixture
def living(programs: Programs) -> Iterator[tuple[Farm, set[model.Flow]]]:
    """A farm, and the flows that the model takes as living here."""
    flows: set[model.Flow] = set()
    with addresses(), open_farm(programs, "web", flow_lives=flows.__contains__) as farm:
        yield farm, flows


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("state", ["draining", "filling"])
def test_packets_of_a_flow_that_lives_here(living: tuple[Farm, set[model.Flow]], state: str, family: str) -> None:
    farm, flows = living
    farm.install_all(state)
    _, client, vip = FAMILIES[family]
    with listener(family) as server, connection(server, family):
        flows.add((model.mapped(client), CLIENT_PORT, model.mapped(vip), VIP_PORT))
        for frame in PACKETS.values():
            farm.check(frame)
        assert farm.check(PACKETS[f"tcp_data_{family}"]) == state
        assert farm.check(PACKETS[f"icmp_unreachable_about_tcp_{family}"]) == state
        assert farm.check(PACKETS[f"tcp_syn_{family}"]) == {"draining": "drop_draining", "filling": "filling"}[state]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("state", ["draining", "filling"])
def test_a_listener_is_no_flow(living: tuple[Farm, set[model.Flow]], state: str, family: str) -> None:
    farm, _ = living
    farm.install_all(state)
    with listener(family):
        for frame in PACKETS.values():
            farm.check(frame)
        assert farm.check(PACKETS[f"tcp_data_{family}"]) == f"drop_{state}"
