"""The farm that tests share, and the proof that none of them leaves anything behind; and a mirror
that many modules share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bpf import kernel
from lab import cgroups
from lab.mirror import MirrorLab, quick
from lab.network import Lab
from lab.waiting import until
from tests.lab.nodes import NODES, filter_programs, restore
from tests.lab.test_topology import inside, name, wait_nothing_left


@pytest.fixture(scope="package")
def usual_farm() -> Iterator[Lab]:
    """For all modules that want nothing else."""
    yield from built("farm", None)


@pytest.fixture(scope="module")
def built_farm(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The usual one, or one for this module, with the configuration that it has in FARM_CONFIG."""
    config = getattr(request.module, "FARM_CONFIG", None)
    if config is None:
        yield request.getfixturevalue("usual_farm")
    else:
        yield from built(request.module.__name__.rpartition("_")[2], config)


def built(suffix: str, config: str | None) -> Iterator[Lab]:
    """Three nodes that agree. At the end nothing of them is left on this machine, kernel programs included."""
    lab = Lab(name(suffix), config=config)
    lab.up()
    programs = [program for node in NODES for program in filter_programs(lab, node)]
    assert len(programs) == 2 * len(NODES)
    yield lab
    known = inside(lab)
    lab.down()
    assert cgroups.left(lab.name) == []
    wait_nothing_left(lab, known, timeout_s=20)  # those that had sent processes into it see them end
    until(lambda: not any(map(is_loaded, programs)), "the kernel to forget the filters", timeout_s=20)


@pytest.fixture(scope="package")
def pair() -> Iterator[MirrorLab]:
    """Two nodes with a mirror without an application, for all modules that need no more; who takes it restores it."""
    with MirrorLab(name("pair"), [quick()]) as lab:
        yield lab


@pytest.fixture
def farm(built_farm: Lab) -> Iterator[Lab]:
    """A shared farm, which is given back as three converged nodes whatever the test did to it."""
    yield built_farm
    restore(built_farm)


def is_loaded(program: int) -> bool:
    """Whether the kernel still has the BPF program with this id."""
    try:
        fd = kernel.program_open(program)
    except FileNotFoundError:
        return False
    os.close(fd)
    return True
