"""One loaded filter for all tests: on a veth pair in a namespace of its own, held by a farm that does nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from farmd.datapath import Datapath
from farmd.kit.lock import hold_farm_lock
from farmd.pins import Pins
from tests.datapath.farm import Farm, Programs, open_farm
from tests.datapath.namespaces import Namespace, run

INTERFACE = "v0"


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    """A namespace with the veth pair v0-v1 and nothing loaded; the test is inside."""
    space = Namespace()
    with space.entered(), _folders(tmp_path):
        _add_veth()
        yield space
    space.close()


@dataclass(frozen=True)
class Loaded:
    """The filter that the session shares, and where it lives."""

    space: Namespace
    folder: Path
    programs: Programs

    @contextlib.contextmanager
    def entered(self) -> Iterator[Programs]:
        with self.space.entered(), _folders(self.folder):
            yield self.programs


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The filter, loaded once."""
    folder, space = tmp_path_factory.mktemp("loaded"), Namespace()
    with space.entered(), _folders(folder):
        _add_veth()
        lock = hold_farm_lock("holder")
        datapath = Datapath.open(INTERFACE, "holder", "auto")
        programs = Programs.open(Pins(INTERFACE).folder, INTERFACE, socket.if_nametoindex(INTERFACE))
    yield Loaded(space, folder, programs)
    with space.entered(), _folders(folder):
        datapath.close()
        lock.release()
    programs.close()
    space.close()


@pytest.fixture
def programs(loaded: Loaded) -> Iterator[Programs]:
    """The loaded programs; the test is inside their namespace."""
    with loaded.entered() as programs:
        yield programs


@pytest.fixture
def farm(programs: Programs) -> Iterator[Farm]:
    """A farm of its own for each test: lease held, every bucket owned."""
    with open_farm(programs, "web") as farm:
        yield farm


@contextlib.contextmanager
def _folders(root: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FARMD_RUN", str(root / "run"))
        environment.setenv("FARMD_BPFFS", str(root / "bpf"))
        yield


def _add_veth() -> None:
    run(f"ip link add {INTERFACE} type veth peer name v1")
    run(f"ip link set {INTERFACE} up")
    run("ip link set v1 up")
