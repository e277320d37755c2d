"""sd_notify(3): what arrives at a service manager's socket, and silence without one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from farmd.kit import notify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@farmd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name[1:] if name.startswith("@") else name)
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield receiver


def test_the_manager_hears_each_message(manager: socket.socket) -> None:
    notify.ready()
    notify.status("epoch 7, 3 members")
    notify.watchdog()
    notify.stopping(within_s=70.5)
    heard = [manager.recv(4096) for _ in range(4)]
    stopping = b"STOPPING=1\nEXTEND_TIMEOUT_USEC=70500000"
    assert heard == [b"READY=1", b"STATUS=epoch 7, 3 members", b"WATCHDOG=1", stopping]


def test_a_program_that_is_replaced_asks_for_time_and_the_next_one_gives_it_back(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    notify.starting_anew(90)
    notify.ready()
    heard = [manager.recv(4096) for _ in range(2)]
    assert heard == [b"WATCHDOG_USEC=90000000", b"READY=1\nWATCHDOG_USEC=10000000"]


def test_a_status_cannot_smuggle_another_message(manager: socket.socket) -> None:
    notify.status("fine\nSTOPPING=1")
    assert manager.recv(4096) == b"STATUS=fine STOPPING=1"


def test_a_manager_that_does_not_read_is_not_waited_for(manager: socket.socket) -> None:
    manager.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for _ in range(5000):
        notify.watchdog()
    assert manager.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", [None, "", "@", "nonsense", "vsock:2:1234", "/nonexistent/notify", "/" + "x" * 200])
def test_without_a_manager_nothing_happens(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.ready()
