"""The virtual addresses of a mirror on two real nodes: who answers, who is asked, and what happens to a dead daemon."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Self

import pytest

from lab.machine import CHECKOUT
from lab.network import Lab
from lab.topology import FAR, LAN, ROUTER
from lab.waiting import until
from tests.lab.test_topology import name

pytestmark = pytest.mark.needs_root

VIP4, VIP6 = "10.0.0.200", "fd00::200"
OTHER4 = "10.0.0.201"
MODES = ("vmac", "alias")
TRACES = """
ip -o addr | sed 's/valid_lft.*//'; ip -6 route show table all | grep fd00::200
bridge fdb show | sort; sysctl net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_announce
ls -R /sys/fs/bpf; tc filter show dev eth0 ingress; ls /run/farmd
"""
PATIENCE_S = 10.0
GONE_WITHIN_S = 5.0
"""LIFETIME_MAX_S, and time for the kernel to get round to it."""


class Holder:
    """A process in a node that has the addresses."""

    def __init__(self, lab: Lab, node: str, mode: str, *vips: str, mirror: str = "db") -> None:
        python = f"{CHECKOUT}/.venv/bin/python"
        command = lab.machine(node).enter(
            "env", f"PYTHONPATH={CHECKOUT}", python, "-m", "tests.lab.vip_holder", mirror, mode, *vips
        )
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lab, self.node, self.vips = lab, node, vips
        self.first = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, subprocess.CalledProcessError):  # it may be about to end
                self.thaw()
            self.close()

    def tell(self, verb: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{verb}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(PATIENCE_S) == 0

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait(PATIENCE_S)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """For the holder, which is a child of nsenter, which stops when its child does."""
        children = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True, check=True)
        for pid in children.stdout.split():
            os.kill(int(pid), number)
        if number is signal.SIGCONT:
            self._process.send_signal(number)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said


@pytest.fixture(scope="module")
def network() -> Iterator[Lab]:
    """Two nodes with nginx and without farmd."""
    lab = Lab(name("vip"), nodes=2)
    lab.up(start=False)
    yield lab
    lab.down()


@contextlib.contextmanager
def pair(lab: Lab, mode: str, *vips: str, mirror: str = "db") -> Iterator[tuple[Holder, Holder]]:
    """Both nodes, with the addresses down; who remembers them from another mode has forgotten. They leave no trace."""
    for place in (LAN, FAR, ROUTER, "n1", "n2"):
        lab.exec(place, "ip", "neigh", "flush", "all")
    before = [traces(lab, node) for node in ("n1", "n2")]
    with Holder(lab, "n1", mode, *vips, mirror=mirror) as one, Holder(lab, "n2", mode, *vips, mirror=mirror) as two:
        yield one, two
    assert [traces(lab, node) for node in ("n1", "n2")] == before


def asked(lab: Lab, place: str, vip: str, timeout_s: float = 1.0) -> str:
    """Which node answers a client at this place; empty if none does."""
    url = f"http://[{vip}]/" if ":" in vip else f"http://{vip}/"
    done = lab.exec(place, "curl", "-s", "--max-time", f"{timeout_s:g}", url, check=False)
    return done.stdout.strip()


def wait_answer(lab: Lab, place: str, vip: str, node: str, timeout_s: float = PATIENCE_S) -> None:
    until(lambda: asked(lab, place, vip) == node, f"{node} to answer {place} at {vip}", timeout_s)


def neighbour(lab: Lab, place: str, vip: str) -> str:
    """The MAC that a place has in mind for an address."""
    found = json.loads(lab.exec(place, "ip", "-json", "neigh", "show", "to", vip).stdout or "[]")
    return found[0].get("lladdr", "") if found else ""


def has(lab: Lab, node: str, vip: str) -> bool:
    return f" {vip}/" in lab.exec(node, "ip", "addr").stdout


def traces(lab: Lab, node: str) -> list[str]:
    """Everything that must be as it was."""
    return lab.exec(node, "sh", "-c", TRACES, check=False).stdout.splitlines()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_everybody_reaches_the_node_that_serves(network: Lab, mode: str, vip: str) -> None:
    with pair(network, mode, vip) as (one, two):
        assert asked(network, LAN, vip, timeout_s=0.3) == ""
        assert not any(has(network, node, vip) for node in ("n1", "n2"))
        for serving, other in ((one, two), (two, one), (one, two)):
            other.tell("down")
            serving.tell("up")
            for place in (LAN, FAR, one.node, two.node):
                wait_answer(network, place, vip, serving.node)
            assert has(network, serving.node, vip)
            assert not has(network, other.node, vip)


@pytest.mark.parametrize("mode", MODES)
def test_a_node_that_serves_no_more_answers_no_more(network: Lab, mode: str) -> None:
    with pair(network, mode, VIP4, VIP6) as (one, _):
        one.tell("up")
        wait_answer(network, LAN, VIP4, "n1")
        one.tell("down")
        assert not has(network, "n1", VIP4)
        assert not has(network, "n1", VIP6)
        if mode == "vmac":  # nor would its kernel see a packet
            before = one.tell("say")["counters"]["drop_fenced"]
            assert asked(network, LAN, VIP4, timeout_s=0.3) == ""
            assert one.tell("say")["counters"]["drop_fenced"] > before


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_a_virtual_mac_stays_the_same_and_takes_over_at_once(network: Lab, vip: str) -> None:
    with pair(network, "vmac", vip) as (one, two):
        one.tell("up")
        wait_answer(network, LAN, vip, "n1")
        mac = neighbour(network, LAN, vip)
        one.tell("down")
        two.tell("up")
        assert asked(network, LAN, vip) == "n2"
        assert neighbour(network, LAN, vip) == mac
        assert mac != network.exec("n2", "cat", "/sys/class/net/eth0/address").stdout.strip()


@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_neighbours_learn_at_once_where_an_alias_has_gone(network: Lab, vip: str) -> None:
    with pair(network, "alias", vip) as (one, two):
        for serving, other in ((one, two), (two, one)):
            other.tell("down")
            serving.tell("up")
            mac = network.exec(serving.node, "cat", "/sys/class/net/eth0/address").stdout.strip()
            start = time.monotonic()
            wait_answer(network, LAN, vip, serving.node)
            assert time.monotonic() - start < 3.0
            assert neighbour(network, LAN, vip) == mac
            time.sleep(1.5)  # an entry that is younger than a second is not changed (arp(7), locktime)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["freeze", "kill"])
def test_the_kernel_takes_the_address_from_a_daemon_that_hangs_or_dies(network: Lab, mode: str, way: str) -> None:
    with pair(network, mode, VIP4, VIP6) as (one, two):
        one.tell("up")
        wait_answer(network, LAN, VIP4, "n1")
        getattr(one, way)()
        for vip in (VIP4, VIP6):
            until(lambda vip=vip: not has(network, "n1", vip), f"{vip} to go", GONE_WITHIN_S)  # type: ignore[misc]
        two.tell("up")
        for place in (LAN, "n1"):
            wait_answer(network, place, VIP4, "n2")
        with Holder(network, "n1", mode, VIP4, VIP6) if way == "kill" else contextlib.nullcontext():
            assert asked(network, LAN, VIP4) == "n2"


def test_a_filter_of_a_frozen_daemon_closes_with_its_lease(network: Lab) -> None:
    with pair(network, "vmac", VIP4) as (one, _):
        one.tell("up")
        wait_answer(network, LAN, VIP4, "n1")
        one.freeze()
        time.sleep(1.1)  # the lease, and the filter's coarse clock
        assert asked(network, LAN, VIP4, timeout_s=0.3) == ""
        one.thaw()
        wait_answer(network, LAN, VIP4, "n1")
        counted = one.tell("say")["counters"]
        assert counted["drop_fenced"] > 0
        assert counted["owned"] > 0


def test_mirrors_may_be_crossed_on_one_interface(network: Lab) -> None:
    with (
        Holder(network, "n1", "vmac", OTHER4, mirror="files") as files1,
        Holder(network, "n2", "vmac", OTHER4, mirror="files") as files2,
        pair(network, "vmac", VIP4, mirror="db") as (db1, db2),
    ):
        db1.tell("up")
        files2.tell("up")
        wait_answer(network, LAN, VIP4, "n1")
        wait_answer(network, LAN, OTHER4, "n2")
        db1.tell("down")
        db2.tell("up")
        assert [asked(network, LAN, vip) for vip in (VIP4, OTHER4)] == ["n2", "n2"]
        db2.close()
        assert asked(network, LAN, OTHER4) == "n2"
        files2.tell("down")
        files1.tell("up")
        assert asked(network, LAN, OTHER4) == "n1"
        files1.tell("down")


@pytest.mark.parametrize("when", ["already", "a moment later"])
@pytest.mark.parametrize("vip", [VIP4, VIP6])
def test_an_address_that_somebody_else_has_is_told(network: Lab, vip: str, when: str) -> None:
    mac = network.exec(LAN, "cat", "/sys/class/net/eth0/address").stdout.strip()
    address = f"{vip}/{128 if ':' in vip else 32}"
    with pair(network, "alias", vip) as (one, _), contextlib.ExitStack() as after:
        if when == "a moment later":
            one.tell("up")
        network.exec(LAN, "ip", "addr", "add", address, "dev", "eth0")
        after.callback(network.exec, LAN, "ip", "addr", "del", address, "dev", "eth0")
        if when == "already":
            one.tell("up")
        told = f"{vip} is also used by {mac} on eth0"
        until(lambda: one.tell("say")["trouble"] == told, f"it to say: {told}", PATIENCE_S)


def test_an_ordinary_address_of_this_machine_is_refused(network: Lab) -> None:
    for mode in MODES:
        with Holder(network, "n1", mode, "10.0.0.1") as holder:
            assert holder.first == {"error": "10.0.0.1 is an ordinary address of eth0 here; a VIP must not be"}


def test_what_an_earlier_run_left_is_gone_in_either_mode(network: Lab) -> None:
    before = traces(network, "n1")
    for earlier, later in (("vmac", "alias"), ("alias", "alias"), ("vmac", "vmac")):
        with Holder(network, "n1", earlier, VIP4, VIP6) as killed:
            killed.tell("up")
            assert has(network, "n1", VIP4)
            killed.kill()
        with Holder(network, "n1", later, VIP4, VIP6) as holder:
            assert not has(network, "n1", VIP4)
            assert not has(network, "n1", VIP6)
            holder.tell("up")
            wait_answer(network, LAN, VIP4, "n1")
        assert traces(network, "n1") == before


def test_the_machines_own_connections_do_not_come_from_it(network: Lab) -> None:
    for mode in MODES:
        with pair(network, mode, VIP4, VIP6) as (one, _):
            one.tell("up")
            for target in ("10.0.1.1", "192.168.7.1", "fd00::1:1", "fd07::1"):
                route = json.loads(network.exec("n1", "ip", "-json", "route", "get", target).stdout)[0]
                assert route["prefsrc"] in ("10.0.0.1", "fd00::1")
