"""A mirror's addresses as ordinary ones of an interface, in a namespace of the test's own."""

from __future__ import annotations

import time
from ipaddress import ip_address

import pytest

from farmd.errors import MachineError
from lab.waiting import until
from mirrord.addresses import Lent
from mirrord.vip_alias import Alias
from tests.datapath.conftest import INTERFACE
from tests.datapath.namespaces import Namespace, run

pytestmark = pytest.mark.usefixtures("namespace")

VIPS = (ip_address("10.0.0.200"), ip_address("fd00::200"))
LEASE_NS = 1_000_000_000


def lease() -> int:
    return time.monotonic_ns() + LEASE_NS


def present() -> list[str]:
    """Those of the virtual addresses that the interface has."""
    there = run("ip -o addr")
    return [str(vip) for vip in VIPS if f" {vip}/" in there]


def test_an_interface_that_goes_away_and_comes_back() -> None:
    alias = Alias.open(INTERFACE, VIPS)
    alias.up(lease())
    assert (present(), alias.trouble) == ([str(vip) for vip in VIPS], "")
    run(f"ip link del {INTERFACE}")

    def refused() -> bool:  # the other end, which had the address in sight and has gone, too, may be the trouble before
        alias.renew(lease())
        return alias.trouble == f"the virtual address cannot be put on {INTERFACE}: No such device"

    until(refused, "the kernel, which is told again when a third of the lease is over, to refuse")
    run(f"ip link add {INTERFACE} type veth peer name v1")
    run(f"ip link set {INTERFACE} up")
    alias.renew(lease())
    assert (present(), alias.trouble) == ([str(vip) for vip in VIPS], "")
    run(f"ip link del {INTERFACE}")
    alias.down()
    alias.close()


def test_a_lease_that_becomes_shorter_is_told_at_once() -> None:
    lent = Lent(INTERFACE, VIPS)
    lent.renew(time.monotonic_ns() + 3 * LEASE_NS)
    assert len(present()) == 2
    lent.renew(lease())
    until(lambda: present() == [], "the addresses to go", timeout_s=2.0)
    lent.renew(lease())
    assert len(present()) == 2
    lent.renew(0)
    assert present() == []
    lent.close()


def test_what_stays_for_a_successor_ends_with_its_lease() -> None:
    alias = Alias.open(INTERFACE, VIPS)
    alias.up(lease())
    alias.close(keep=True)
    assert len(present()) == 2
    until(lambda: present() == [], "the addresses to go", timeout_s=3.0)


def test_nothing_is_renewed_that_is_down() -> None:
    alias = Alias.open(INTERFACE, VIPS)
    alias.renew(lease())
    assert present() == []
    alias.up(lease())
    alias.down()
    alias.renew(lease())
    assert present() == []
    alias.close()


def test_an_interface_that_is_not_there(namespace: Namespace) -> None:
    with pytest.raises(MachineError, match="there is no interface nowhere on this machine"):
        Alias.open("nowhere", VIPS)
