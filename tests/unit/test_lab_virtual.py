"""The lab of virtual machines, without any: what a machine is told of its networks, and which images are kept."""

from __future__ import annotations

import fcntl
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from pathlib import Path

import pytest

from lab.vm import image, mirror_scenes
from lab.vm.guest import Link

MAC = "52:54:00:00:00:01"


def test_a_kernel_is_told_the_addresses_of_an_interface() -> None:
    link = Link("n1", MAC, (IPv4Interface("10.0.0.1/16"), IPv6Interface("fd00::1/64")), IPv4Address("10.0.255.254"))
    assert link.kernel_words("eth0") == "ip=10.0.0.1::10.0.255.254:255.255.0.0::eth0:off ip=[fd00::1]:::64::eth0:off"


def test_a_cable_between_two_machines_leads_to_no_gateway() -> None:
    link = Link("n1-hb", MAC, (IPv4Interface("10.99.0.1/24"),))
    assert link.kernel_words("eth1") == "ip=10.99.0.1:::255.255.255.0::eth1:off"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_image_stays_while_a_lab_uses_it(tmp_path: Path, kind: str) -> None:
    old = tmp_path / "old"
    if kind == "file":
        old.touch()
    else:
        old.mkdir()
    with image._locked(old, fcntl.LOCK_SH):
        image._remove(iter([old]))
        assert old.exists()
    image._remove(iter([old]))
    assert not old.exists()


def test_a_mirror_that_lost_something_misbehaved() -> None:
    well = {
        "committed": 100,
        "unit": {"Type": "notify", "ActiveState": "active"},
        "versions": {"n1": image.NEXT_VERSION, "n2": image.NEXT_VERSION},
        "pages": {"n1": 200, "n2": 503},
    }
    assert mirror_scenes.Outcome(**well, gap_s={"swap": 9.5}).faults() == []  # type: ignore[arg-type]
    ill = mirror_scenes.Outcome(**well, lost=1, gap_s={"swap": 61.0}, wrong=["it burns"])  # type: ignore[arg-type]
    assert ill.faults() == ["1 of 100 committed transfers are lost", "swap: clients waited 61 s", "it burns"]
