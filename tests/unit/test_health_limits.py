"""Clients that misbehave, on raw sockets: each is cut off, and others get their answers all the while."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from healthcheck.farms import Farms
from healthcheck.limits import REQUEST_BYTES_MAX, Crowd
from healthcheck.pages import application
from healthcheck.serving import Http, listen
from healthcheck.settings import Settings
from tests.unit.loops import WAIT_S, loop_in_thread
from tests.unit.ports import tcp_ports

IDLE_S = 0.4
CONNECTIONS_MAX = 20
GET = b"GET /live HTTP/1.1\r\nHost: x\r\n"


class Strict:
    """A health page with tight limits."""

    def __init__(self, run: Any, folder: Path) -> None:
        (self.port,) = tcp_ports(1)
        self.crowd = Crowd(CONNECTIONS_MAX, IDLE_S)
        self._http = Http(application(Farms(folder, [], buckets=False), Settings()), self.crowd)
        self._run = run
        self._run(self._start())

    async def _start(self) -> None:
        await self._http.start(listen("port", self.port, ()))
        self._sweeping = asyncio.create_task(self.crowd.sweep())

    def end(self) -> None:
        async def close() -> None:
            self._http.close()
            self._sweeping.cancel()

        self._run(close())

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)

    def answers(self) -> bool:
        """Whether a well-behaved client gets its answer."""
        with self.connect() as connection:
            connection.sendall(GET + b"\r\n")
            return connection.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.fixture
def strict(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Strict]:
    with loop_in_thread(uvloop.new_event_loop) as run:
        running = Strict(run, tmp_path)
        try:
            yield running
        finally:
            running.end()
    # Strangers cannot fill the log.
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno > logging.INFO] == []


def received(connection: socket.socket) -> bytes:
    """Everything until the other end closes."""
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            content += chunk
    return content


def send_until_cut_off(connection: socket.socket, first: bytes, piece: bytes, at_most: int) -> int:
    """How many bytes it took."""
    sent = 0
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(first)
        while sent < at_most:
            connection.sendall(piece)
            sent += len(piece)
    return sent


def test_connections_are_kept_for_the_next_request(strict: Strict) -> None:
    with strict.connect() as connection:
        for _ in range(50):  # together more than one request may have
            connection.sendall(GET + b"X: " + b"x" * 1000 + b"\r\n\r\n")
            answer = b""
            while not answer.endswith(b"\r\n\r\nlive\n"):
                answer += connection.recv(4096)


def test_who_does_not_wait_for_the_answer_is_cut_off(strict: Strict) -> None:
    for count in (2, 3, 20, 100):
        with strict.connect() as connection:
            connection.sendall((GET + b"\r\n") * count)
            assert received(connection).count(b"HTTP/1.1 200 OK\r\n") < 2
        assert strict.answers()


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (GET + b"X: ", b"x" * 1000),
        (GET, b"X-Header: y\r\n" * 100),
        (b"GET /", b"x" * 1000),
        (b"GET /live HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", b"x" * 1000),
        (b"GET /live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b"x" * 1000 + b"\r\n"),
    ],
    ids=["long header", "many headers", "long path", "long body", "chunked body"],
)
def test_too_much_is_cut_off(strict: Strict, first: bytes, piece: bytes) -> None:
    with strict.connect() as connection:
        assert send_until_cut_off(connection, first, piece, at_most=50_000_000) < 10_000_000  # most is in the kernel
        assert strict.answers()


def test_too_much_at_once_is_cut_off_without_an_answer(strict: Strict) -> None:
    with strict.connect() as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(GET + b"X: " + b"x" * (REQUEST_BYTES_MAX + 1) + b"\r\n\r\n")
        assert received(connection) == b""


@pytest.mark.parametrize(
    "begin",
    [b"", b"GET /li", GET, GET + b"X: ", b"POST /live HTTP/1.1\r\nContent-Length: 10\r\n\r\n12", GET + b"\r\n"],
    ids=["nothing", "a path", "a header", "a name", "a body", "a whole request, and then nothing"],
)
def test_who_takes_too_long_is_cut_off(strict: Strict, begin: bytes) -> None:
    with strict.connect() as slow:
        slow.sendall(begin)
        assert strict.answers()
        before = time.monotonic()
        received(slow)
        assert time.monotonic() - before < IDLE_S + 1.0


def test_a_byte_now_and_then_is_no_request(strict: Strict) -> None:
    with strict.connect() as slow:
        slow.sendall(GET)
        slow.settimeout(IDLE_S / 4)
        begin = time.monotonic()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while time.monotonic() < begin + WAIT_S:
                slow.sendall(b"X")
                with contextlib.suppress(TimeoutError):
                    if not slow.recv(100):
                        break
        assert time.monotonic() - begin < IDLE_S + 1.0
    assert strict.answers()


def test_the_idlest_connection_makes_room_for_a_new_one(strict: Strict) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(strict.connect()) for _ in range(3 * CONNECTIONS_MAX)]
        assert strict.answers()
        assert len(strict.crowd) <= CONNECTIONS_MAX
        assert received(idle[0]) == b""


def test_who_asks_is_not_idle(strict: Strict) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(strict.connect())
        for _ in range(3 * CONNECTIONS_MAX):
            for asking in (stack.enter_context(strict.connect()), first):
                asking.sendall(GET + b"\r\n")
                assert asking.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "bytes_",
    [b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100,
     b"GET / HTTP/1.1\r\nA B: c\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
     b"GET //// HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
     b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
     b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
     b"GET /farm/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n"],
)  # fmt: skip
def test_nonsense_is_no_answer_of_success_and_harms_nobody(strict: Strict, bytes_: bytes) -> None:
    with strict.connect() as connection:
        connection.sendall(bytes_)
        connection.shutdown(socket.SHUT_WR)
        answer = received(connection)
    assert b"Traceback" not in answer
    assert not answer.startswith(b"HTTP/1.1 5")
    assert strict.answers()
