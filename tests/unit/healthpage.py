"""A real farm-health process, and daemons for it to watch: a real control socket with hand-made statuses behind it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from farmd.kit.control_server import ControlServer, Lines
from lab.waiting import until
from tests.unit.loops import WAIT_S, loop_in_thread
from tests.unit.ports import tcp_ports
from tests.unit.statuses import status

LEASE_S = 0.3

# As `farm-health` does it, but as whoever runs the tests: the user farmd is the machine's, and tests/lab has one.
SERVE = """
import sys, uvloop
from pathlib import Path
from healthcheck import program, settings
wanted = settings.load(Path(sys.argv[1]))
uvloop.run(program.serve(wanted, program.prepare(wanted)))
"""


class FakeDaemon:
    """Says what it is told to, as farmd does; silent when `speaks` is false."""

    def __init__(self, run: Any, path: Path, made: Callable[..., dict[str, Any]]) -> None:
        self.speaks = True
        self._run = run
        self._made = made
        self._said = made(lease_s=LEASE_S)
        self._bell = asyncio.Event()
        self._server = ControlServer(path, self._handler)
        run(self._server.start())

    async def _handler(self, request: dict[str, Any]) -> Lines:
        assert request["verb"] == "watch"
        return self._lines()

    async def _lines(self) -> Lines:
        while True:
            self._bell.clear()
            yield {**self._said, "said_ns": time.monotonic_ns()}
            while not self._bell.is_set():
                if self.speaks:
                    yield {"alive": True, "said_ns": time.monotonic_ns()}
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LEASE_S / 3):
                        await self._bell.wait()

    def say(self, **changes: Any) -> None:
        """A status that differs in these from the one it says at first."""

        async def change() -> None:
            self._said = self._made(lease_s=LEASE_S, **changes)
            self._bell.set()

        self._run(change())

    def end(self) -> None:
        self._run(self._server.close())


@contextlib.contextmanager
def daemon(folder: Path, name: str = "web", made: Callable[..., dict[str, Any]] = status) -> Iterator[FakeDaemon]:
    """made: makes its statuses; by default those of a farm in which all is well."""
    with loop_in_thread() as run:
        fake = FakeDaemon(run, folder / f"{name}.sock", made)
        try:
            yield fake
        finally:
            fake.end()


class Page:
    """A running farm-health. Its ports are free ones."""

    def __init__(
        self, folder: Path, text: str = "", *, agents: str = "", context: ssl.SSLContext | None = None
    ) -> None:
        """text: more settings. agents: instead of one for all farms. context: for HTTPS."""
        self._context = context
        self.port, self.agent_port, self.metrics_port = tcp_ports(3)
        self._file = folder / "health.toml"
        self._file.write_text(
            f'addresses = ["127.0.0.1"]\nport = {self.port}\n'
            f"agent = [{agents or f'{{ port = {self.agent_port} }}'}]\n"
            f"metrics = {{ port = {self.metrics_port} }}\n{text}"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self._file)], env=os.environ | {"FARMD_RUN": str(folder)}
        )
        until(self._answers, "farm-health to answer", WAIT_S)

    def _answers(self) -> bool:
        assert self.process.poll() is None, "farm-health ended at once"
        with contextlib.suppress(ConnectionRefusedError):
            return self.get("/live").status == 200
        return False

    def end(self) -> int:
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        return self.process.wait(WAIT_S)

    def get(self, path: str, method: str = "GET", port: int | None = None, **headers: str) -> Answer:
        if self._context is not None and port is None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "localhost", self.port, timeout=WAIT_S, context=self._context
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=WAIT_S)
        with contextlib.closing(connection):
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read().decode())

    def agent(self, port: int | None = None) -> str:
        """What HAProxy would read."""
        with socket.create_connection(("127.0.0.1", port or self.agent_port), timeout=WAIT_S) as connection:
            return b"".join(iter(lambda: connection.recv(1024), b"")).decode()

    def wait(self, wanted: int, path: str = "/ready", timeout_s: float = WAIT_S) -> Answer:
        """The first answer with that status."""
        until(lambda: self.get(path).status == wanted, f"{path} to answer {wanted}", timeout_s)
        return self.get(path)

    @staticmethod
    def wait_for(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        """The first answer that is good."""
        until(lambda: good(ask()), "a good answer", WAIT_S)
        return ask()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], text: str) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.text = text


@contextlib.contextmanager
def page(folder: Path, text: str = "", **options: Any) -> Iterator[Page]:
    running = Page(folder, text, **options)
    try:
        yield running
    finally:
        running.end()
