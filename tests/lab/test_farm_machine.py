"""What farmd does to a node, what it leaves behind, and two farms on one interface."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from lab import services
from lab.network import Lab
from lab.topology import LAN
from lab.waiting import until
from tests.lab.nodes import NODES, crash, farmctl, status
from tests.lab.test_topology import get
from tests.lab.watching import VIP, VIP6, watched

pytestmark = pytest.mark.needs_root

TRACES = """
ip -brief address show dev lo
bridge fdb show dev eth0
ip -details link show dev eth0 | grep -o 'prog/xdp.*\\|promiscuity [0-9]*'
tc qdisc show dev eth0
tc filter show dev eth0 ingress
sysctl net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_announce
find /sys/fs/bpf -mindepth 1 ! -name '*.debug' | sort
ls -A /run/farmd
ip maddress show dev eth0
"""


def traces(lab: Lab, node: str) -> str:
    """Everything on a node that farmd may change."""
    return lab.exec(node, "sh", "-c", TRACES, check=False).stdout


@pytest.fixture
def before(farm: Lab) -> str:
    """What a node looks like on which farmd never ran."""
    farm.kill("n2")
    farm.boot("n2")
    farm.exec("n2", "mkdir", "/run/farmd")
    return traces(farm, "n2")


@pytest.mark.usefixtures("before")
def test_farmd_is_seen_on_the_node(farm: Lab) -> None:
    """So that the tests below would notice if it stayed."""
    farm.start("n2")
    there = traces(farm, "n2")
    assert f"{VIP}/32" in there
    assert f"{VIP6}/128" in there
    assert f"{status(farm, 'n2')['vmac']} self permanent" in there
    assert "prog/xdp" in there
    assert "qdisc clsact" in there
    assert "farm_tc" in there
    assert "arp_ignore = 1" in there
    assert "arp_announce = 2" in there
    assert "/sys/fs/bpf/farmd/eth0/slots" in there
    assert "web.sock" in there


def test_a_planned_stop_leaves_nothing(farm: Lab, before: str) -> None:
    farm.start("n2")
    farm.stop("n2")
    assert traces(farm, "n2") == before


def test_what_a_crash_left_is_taken_over_and_removed_in_the_end(farm: Lab, before: str) -> None:
    farm.start("n2")
    farm.wait_converged(*NODES)
    crash(farm, "n2")
    assert traces(farm, "n2") != before
    farm.start("n2")
    farm.wait_converged(*NODES)
    farm.stop("n2")
    assert traces(farm, "n2") == before


def test_a_settings_file_of_before_the_crash_is_what_is_restored(farm: Lab) -> None:
    """Not what the crashed run had set, which is what its successor finds."""
    farm.stop("n2")
    farm.exec("n2", "sysctl", "-q", "net.ipv4.conf.eth0.arp_announce=1")
    farm.start("n2")
    crash(farm, "n2")
    farm.start("n2")
    farm.stop("n2")
    value = farm.exec("n2", "sysctl", "-n", "net.ipv4.conf.eth0.arp_announce").stdout
    farm.exec("n2", "sysctl", "-q", "net.ipv4.conf.eth0.arp_announce=0")
    assert value == "1\n"


# -- two farms ---------------------------------------------------------------------------------------------------------

OTHER_VIP = "10.0.0.200"
OTHER_CONFIG = "/run/farmd-lab/other.toml"


@pytest.fixture
def other(farm: Lab) -> Iterator[Lab]:
    """A second farm on the nodes of the first, with a VIP and a heartbeat port of its own."""
    text = farm.state.config.read_text().replace('name = "web"', 'name = "other"\nport = 5408')
    text = re.sub(r"vips = .*", f'vips = ["{OTHER_VIP}"]', text)
    for node in NODES:
        machine = farm.machine(node)
        machine.write(OTHER_CONFIG, text)
        command = [OTHER_CONFIG if word == services.CONFIG else word for word in services.farmd(node)]
        machine.start_service("other", command, farm.state.log(f"{node}-other"))
    until(lambda: all(converged(farm, node) for node in NODES), "the other farm to agree", timeout_s=15)
    yield farm
    for node in NODES:
        stop_other(farm, node)


def converged(farm: Lab, node: str) -> bool:
    done = farm.exec(node, *services.farmctl("status", "--farm", "other", "--json"), check=False)
    return '"converged": true' in done.stdout and done.stdout.count('"status": "up"') == len(NODES) + 1


def stop_other(farm: Lab, node: str) -> None:
    machine = farm.machine(node)
    process = machine.service("other")
    if process is not None:
        farm.exec(node, "pkill", "-TERM", "-f", OTHER_CONFIG)
        until(lambda: machine.service("other") is None, "the other farm's daemon to leave", timeout_s=10)


def test_two_farms_on_one_interface(other: Lab) -> None:
    with watched(other) as clients, watched(other, places=(LAN,), targets=(OTHER_VIP,), vips=(OTHER_VIP,)) as others:
        for node in NODES:  # one after the other: the other farm goes, and this one notices nothing
            stop_other(other, node)
    assert clients.failures == []
    assert clients.steady
    assert others.answers.keys() == set(NODES)
    assert not get(other, LAN, OTHER_VIP)
    assert all(OTHER_VIP not in traces(other, node) for node in NODES)


def counted(farm: Lab) -> list[dict[str, int]]:
    """What the first farm's slot has counted on each node."""
    return [farmctl(farm, node, "status", "--farm", "web")["counters"] for node in NODES]


def test_two_farms_have_each_their_own_slot_and_spread(other: Lab) -> None:
    before = counted(other)
    with watched(other, places=(LAN,), targets=(OTHER_VIP,), vips=(OTHER_VIP,)) as others:
        pass
    assert others.failures == []
    assert others.steady
    assert all(0 < len(others.served_by(node)) < 25 for node in NODES)
    assert counted(other) == before
    answer = other.exec("n1", *services.farmctl("status"), check=False)
    assert answer.returncode == 1
    assert answer.stderr == "farmctl: several farms or mirrors run here; choose one with --farm: other, web\n"
