"""A real HAProxy asks a real farm-health: what it makes of each answer."""

from __future__ import annotations

import csv
import io
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.waiting import until
from tests.unit.healthpage import FakeDaemon, Page, daemon, page
from tests.unit.loops import WAIT_S
from tests.unit.ports import tcp_ports

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")

NOT_READY: dict[str, Any] = {"ready": False, "reason": "check page fails"}
DRAIN: dict[str, Any] = {"drain_announced": True}
STOPPED: dict[str, Any] = {"stopped": True, **NOT_READY}
UP = "no check"
"""So HAProxy calls a server that is well and has an agent, but no other check."""


class HAProxy:
    """With one server, "node", whose traffic goes nowhere."""

    def __init__(self, folder: Path, options: str, check: str) -> None:
        self._socket = folder / "haproxy.stats"  # the page takes what is called NAME.sock for farms
        (port,) = tcp_ports(1)
        config = folder / "haproxy.cfg"
        config.write_text(f"""global
    stats socket {self._socket} mode 600
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen farm
    bind 127.0.0.1:{port}
    {options}
    server node 127.0.0.1:9 weight 100 {check} inter 50ms fastinter 50ms downinter 50ms fall 1 rise 1
""")
        assert HAPROXY is not None
        self.process = subprocess.Popen([HAPROXY, "-db", "-f", str(config)], stderr=subprocess.DEVNULL)

    def server(self) -> dict[str, str]:
        """Its line of HAProxy's statistics."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(WAIT_S)
            connection.connect(str(self._socket))
            connection.sendall(b"show stat\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        rows = csv.DictReader(io.StringIO(answer.decode().removeprefix("# ")))
        return next(row for row in rows if row["svname"] == "node")

    def wait(self, status: str) -> dict[str, str]:
        """What it says of the server as soon as it thinks this of it."""

        def thinks() -> bool:
            try:
                return self.server()["status"] == status
            except (FileNotFoundError, ConnectionRefusedError):
                return False

        until(thinks, f"HAProxy to say {status}", WAIT_S)
        return self.server()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(WAIT_S)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FakeDaemon]:
    with daemon(tmp_path) as running:
        yield running


@pytest.fixture
def shown(tmp_path: Path, web: FakeDaemon) -> Iterator[Page]:
    with page(tmp_path, "drain_status = 404") as running:
        running.wait(200)
        yield running


@pytest.fixture
def by_agent(tmp_path: Path, shown: Page) -> Iterator[HAProxy]:
    running = HAProxy(tmp_path, "", f"agent-check agent-addr 127.0.0.1 agent-port {shown.agent_port} agent-inter 50ms")
    yield running
    running.end()


@pytest.fixture
def by_page(tmp_path: Path, shown: Page) -> Iterator[HAProxy]:
    options = "option httpchk GET /ready\n    http-check expect status 200\n    http-check disable-on-404"
    running = HAProxy(tmp_path, options, f"check addr 127.0.0.1 port {shown.port}")
    yield running
    running.end()


def test_the_weight_is_the_share(by_agent: HAProxy) -> None:
    by_agent.wait(UP)
    until(lambda: by_agent.server()["weight"] == "33", "the weight")


@pytest.mark.parametrize(
    ("changes", "status"), [(DRAIN, "DRAIN (agent)"), (STOPPED, "MAINT"), (NOT_READY, "DOWN (agent)")]
)
def test_the_agent_takes_a_server_out_and_brings_it_back(
    by_agent: HAProxy, web: FakeDaemon, changes: dict[str, Any], status: str
) -> None:
    for _ in range(2):
        by_agent.wait(UP)
        web.say(**changes)
        by_agent.wait(status)
        web.say()
    until(lambda: by_agent.wait(UP)["weight"] == "33", "the weight")


def test_the_agent_can_go_from_each_state_to_each_other(by_agent: HAProxy, web: FakeDaemon) -> None:
    by_agent.wait(UP)
    for changes, status in [
        (DRAIN, "DRAIN (agent)"), (STOPPED, "MAINT"), ({}, UP), (STOPPED, "MAINT"), (DRAIN, "DRAIN (agent)"),
        (NOT_READY, "DOWN (agent)"), (DRAIN, "DRAIN (agent)"), ({}, UP),
    ]:  # fmt: skip
        web.say(**changes)
        by_agent.wait(status)


def test_the_reason_is_shown(by_agent: HAProxy, web: FakeDaemon) -> None:
    by_agent.wait(UP)
    web.say(**NOT_READY)
    assert "check page fails" in by_agent.wait("DOWN (agent)")["last_agt"]


def test_the_page_drains_by_404_and_fails_by_503(by_page: HAProxy, web: FakeDaemon) -> None:
    by_page.wait("UP")
    for changes, status in [(DRAIN, "NOLB"), ({}, "UP"), (NOT_READY, "DOWN"), ({}, "UP"), (DRAIN, "NOLB")]:
        web.say(**changes)
        by_page.wait(status)
    web.end()
    by_page.wait("DOWN")
