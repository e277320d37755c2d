"""The control socket, both ends: real sockets, the daemon's end in an event loop of its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import os
import select
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farmd.errors import ConfigError, MachineError
from farmd.kit.control import call, watch
from farmd.kit.control_server import CLIENTS_MAX, REQUEST_BYTES_MAX, ControlServer, Lines
from lab.waiting import until
from tests.unit.loops import WAIT_S, loop_in_thread

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


streams: list[str] = []
"""What became of the streams of `handler`."""


async def stream(request: dict[str, Any]) -> Lines:
    streams.append("opened")
    try:
        for number in range(request["lines"]):
            yield {"number": number, "text": "x" * request.get("size", 0)}
            yield {"alive": True}
        match request.get("end"):
            case "refuse":
                raise ConfigError("node", "there is no n9")
            case "break":
                raise RuntimeError("a bug")
            case "wait":
                await asyncio.Event().wait()
    finally:
        streams.append("closed")


async def handler(request: dict[str, Any]) -> dict[str, Any] | Lines:
    match request["verb"]:
        case "watch":
            return stream(request)
        case "echo":
            return {"heard": request}
        case "refuse":
            raise ConfigError("node", "there is no n9")
        case "break":
            raise RuntimeError("a bug")
        case "unspeakable":
            return {"value": object()}
        case "large":
            return {"value": "x" * request["size"]}
        case _:
            await asyncio.Event().wait()
            raise AssertionError


@contextlib.contextmanager
def serving(path: Path, **options: Any) -> Iterator[ControlServer]:
    with loop_in_thread() as run:
        server = ControlServer(path, handler, **options)
        run(server.start())
        try:
            yield server
        finally:
            run(server.close())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "web.sock"


@contextlib.contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(WAIT_S)
        connection.connect(str(path))
        yield connection


def received(connection: socket.socket) -> list[dict[str, Any]]:
    """Every answer until the daemon closes."""
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            content += chunk
    return [json.loads(line) for line in content.splitlines()]


# Asking and answering.


def test_a_request_arrives_whole_and_its_answer_comes_back(path: Path) -> None:
    with serving(path):
        answer = call(path, "echo", WAIT_S, node="n1", weight=50, text="two\nlines")
    assert answer == {"ok": True, "heard": {"verb": "echo", "node": "n1", "weight": 50, "text": "two\nlines"}}


def test_a_large_answer_comes_whole(path: Path) -> None:
    with serving(path):
        assert len(call(path, "large", WAIT_S, size=900_000)["value"]) == 900_000


def test_a_refusal_is_the_daemons_sentence(path: Path) -> None:
    with serving(path), pytest.raises(MachineError, match=r"^node: there is no n9$"):
        call(path, "refuse", WAIT_S)


@pytest.mark.parametrize("verb", ["break", "unspeakable"])
def test_a_bug_in_the_daemon_is_logged_and_ends_only_the_request(
    path: Path, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(path):
        with pytest.raises(MachineError, match="failed inside the daemon; its log says why"):
            call(path, verb, WAIT_S)
        assert call(path, "echo", WAIT_S)["ok"]
    assert "control request failed" in caplog.text


def test_one_connection_carries_many_requests(path: Path) -> None:
    with serving(path), connected(path) as connection:
        connection.sendall(b'{"verb": "echo", "n": 1}\n{"verb": "refuse"}\n{"verb": "echo", "n": 2}\n')
        connection.shutdown(socket.SHUT_WR)
        answers = received(connection)
    assert [answer["ok"] for answer in answers] == [True, False, True]
    assert [answers[0]["heard"]["n"], answers[2]["heard"]["n"]] == [1, 2]


# Streams.


@pytest.fixture(autouse=True)
def _no_streams_yet() -> None:
    streams.clear()


def test_a_stream_is_a_line_each(path: Path) -> None:
    with serving(path), connected(path) as connection:
        connection.sendall(b'{"verb": "watch", "lines": 2}\n{"verb": "echo"}\n')
        connection.shutdown(socket.SHUT_WR)
        answers = received(connection)
    assert [answer["ok"] for answer in answers] == [True] * 5
    assert [answer["number"] for answer in answers[:4:2]] == [0, 1]
    assert [answer["alive"] for answer in answers[1:4:2]] == [True, True]
    assert answers[4]["heard"] == {"verb": "echo"}


def test_who_watches_sees_every_status_and_no_sign_of_life(path: Path) -> None:
    with serving(path):
        statuses = watch(path, WAIT_S, lines=50, size=30_000, end="refuse")
        assert [next(statuses)["number"] for _ in range(50)] == list(range(50))
        with pytest.raises(MachineError, match=r"^node: there is no n9$"):
            next(statuses)


def test_a_bug_ends_the_stream_with_a_sentence(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(path):
        with pytest.raises(MachineError, match="failed inside the daemon; its log says why"):
            list(watch(path, WAIT_S, lines=1, end="break"))
        assert call(path, "echo", WAIT_S)["ok"]
    assert "control request failed" in caplog.text


def test_a_daemon_that_ends_or_falls_silent_is_said(path: Path) -> None:
    with serving(path):
        silent = watch(path, 0.2, lines=1, end="wait")
        assert next(silent)["number"] == 0
        begin = time.monotonic()
        with pytest.raises(MachineError, match=r"^farmd did not answer 'watch' within 0\.2 s$"):
            next(silent)
        assert time.monotonic() - begin < WAIT_S
        ended = watch(path, WAIT_S, lines=1, end="wait")
        assert next(ended)["number"] == 0
    with pytest.raises(MachineError, match=r"^farmd closed the connection without an answer$"):
        next(ended)
    with pytest.raises(MachineError, match=r"^farmd is not running for farm web"):
        next(watch(path, WAIT_S, lines=1))


def test_a_stream_is_closed_when_its_client_goes(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(path):
        statuses = watch(path, WAIT_S, lines=10_000_000)
        assert next(statuses)["number"] == 0
        statuses.close()
        until(lambda: streams == ["opened", "closed"], "the stream to be closed")
        assert call(path, "echo", WAIT_S)["ok"]
    assert caplog.records == []


def test_a_stream_waits_for_a_client_that_does_not_read_and_not_for_long(path: Path) -> None:
    with serving(path, idle_s=0.2), connected(path) as slow:
        slow.sendall(b'{"verb": "watch", "lines": 1000, "size": 100000}\n')
        assert call(path, "echo", WAIT_S)["ok"]
        until(lambda: streams == ["opened", "closed"], "the stream to be closed")
        numbers = [line["number"] for line in read_lines(slow) if "number" in line]
    assert 0 < len(numbers) < 20  # what the kernel and one line of the daemon hold; it has not run ahead


def read_lines(connection: socket.socket) -> list[dict[str, Any]]:
    """The whole lines that came until the daemon closed, perhaps in mid line."""
    content = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            content += chunk
    return [json.loads(line) for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def test_a_stream_takes_a_clients_place_until_it_ends(path: Path) -> None:
    with serving(path), contextlib.ExitStack() as stack:
        watchers = [watch(path, WAIT_S, lines=1, end="wait") for _ in range(CLIENTS_MAX)]
        for watcher in watchers:
            stack.callback(watcher.close)
            next(watcher)
        with pytest.raises(MachineError, match="32 clients are connected already"):
            next(watch(path, WAIT_S, lines=1))


# Clients that misbehave.


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"verb": 1}',
        b'"verb"',
        b"\xff\xfe",
        b"[" * 60000,
        b'{"verb": "echo", "x": NaN}',
        b'{"verb": "echo", "x": ' + b"1" * 5000 + b"}",
    ],
)
def test_a_malformed_request_gets_a_sentence_and_the_next_one_its_answer(path: Path, line: bytes) -> None:
    with serving(path), connected(path) as connection:
        connection.sendall(line + b"\n" + b'{"verb": "echo"}\n')
        connection.shutdown(socket.SHUT_WR)
        first, second = received(connection)
    assert not first["ok"]
    assert first["error"].startswith("a request is ")
    assert second["ok"]


def test_an_oversized_request_is_cut_off_with_a_sentence(path: Path) -> None:
    with serving(path):
        with pytest.raises(MachineError, match=f"at most {REQUEST_BYTES_MAX} bytes"):
            call(path, "echo", WAIT_S, text="x" * 10_000_000)
        assert call(path, "echo", WAIT_S)["ok"]


def test_a_client_that_leaves_in_mid_request_is_forgotten(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving(path):
        for request in (b"", b'{"verb"', b'{"verb": "large", "size": 900000}\n'):
            with connected(path) as connection:
                connection.sendall(request)
        assert call(path, "echo", WAIT_S)["ok"]
    assert caplog.records == []


def test_a_silent_client_is_cut_off_and_disturbs_nobody(path: Path) -> None:
    with serving(path, idle_s=0.2), connected(path) as slow:
        slow.sendall(b'{"verb": ')
        assert call(path, "echo", WAIT_S)["ok"]
        assert received(slow) == []


def test_a_client_that_does_not_read_is_cut_off_and_disturbs_nobody(path: Path) -> None:
    with serving(path, idle_s=0.2), connected(path) as slow:
        slow.sendall(b'{"verb": "large", "size": 5000000}\n')
        assert call(path, "echo", WAIT_S)["ok"]
        # POLLHUP: the daemon's end is closed, although we have read nothing.
        poll = select.poll()
        poll.register(slow, 0)
        assert poll.poll(WAIT_S * 1000) == [(slow.fileno(), select.POLLHUP)]


def test_a_client_in_mid_request_does_not_hold_up_another(path: Path) -> None:
    with serving(path), connected(path) as waiting:
        waiting.sendall(b'{"verb": "wait"}\n')
        assert call(path, "echo", WAIT_S)["ok"]


def test_one_client_too_many_is_refused_until_another_leaves(path: Path) -> None:
    with serving(path), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(path)) for _ in range(CLIENTS_MAX)]
        for client in clients:  # an answer proves that the daemon has accepted the client
            client.sendall(b'{"verb": "echo"}\n')
            assert client.recv(65536)
        with pytest.raises(MachineError, match="32 clients are connected already"):
            call(path, "echo", WAIT_S)
        clients[0].shutdown(socket.SHUT_WR)
        assert received(clients[0]) == []
        assert call(path, "echo", WAIT_S)["ok"]


# Who may ask.


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A path in a folder that other users can enter, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="farmd-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "web.sock"


# The package may lie where the other user cannot read it, so it is imported before the user changes.
ASK_AS = """
import os, sys
from pathlib import Path
from farmd.errors import MachineError
from farmd.kit.control import call
path, uid, gid, *groups = sys.argv[1:]
os.setgroups([int(group) for group in groups])
os.setgid(int(gid))
os.setuid(int(uid))
try:
    print(call(Path(path), "echo", 10.0)["ok"])
except MachineError as error:
    print(error)
"""


def ask_as(path: Path, uid: int, gid: int, *groups: int) -> str:
    command = [sys.executable, "-c", ASK_AS, str(path), str(uid), str(gid), *map(str, groups)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def test_the_socket_is_roots_and_the_groups(path: Path) -> None:
    with serving(path, group="no-such-group"):
        status = path.stat()
    assert stat.S_IMODE(status.st_mode) == 0o660
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


@needs_root
def test_the_group_owns_the_socket_where_there_is_one(path: Path) -> None:
    with serving(path, group="daemon"):
        assert path.stat().st_gid == grp.getgrnam("daemon").gr_gid


@needs_root
def test_another_user_is_kept_out_by_the_socket_file(public_path: Path) -> None:
    with serving(public_path):
        said = ask_as(public_path, NOBODY, NOBODY)
    assert said == f"permission denied at {public_path}: only root and the group farmd may ask"


@needs_root
def test_another_user_is_refused_even_where_the_socket_file_lets_him_in(public_path: Path) -> None:
    with serving(public_path, group="no-such-group"):
        public_path.chmod(0o666)
        said = ask_as(public_path, NOBODY, NOBODY)
    assert said == "permission denied: only root and the group no-such-group may ask"


@needs_root
def test_the_groups_members_are_heard(public_path: Path) -> None:
    group = grp.getgrnam("daemon").gr_gid
    with serving(public_path, group="daemon"):
        assert ask_as(public_path, NOBODY, group) == "True"
        assert ask_as(public_path, NOBODY, NOBODY, 4242, group) == "True"
        public_path.chmod(0o666)
        assert ask_as(public_path, NOBODY, NOBODY, 4242).startswith("permission denied: ")


# The path.


def test_a_closed_server_leaves_nothing(path: Path) -> None:
    with serving(path):
        assert path.is_socket()
    assert list(path.parent.iterdir()) == []


def test_closing_ends_the_connections(path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with serving(path):
            waiting = stack.enter_context(connected(path))
            waiting.sendall(b'{"verb": "wait"}\n')
            assert call(path, "echo", WAIT_S)["ok"]
        assert received(waiting) == []


def test_a_dead_daemons_socket_is_replaced(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with serving(path):
        assert call(path, "echo", WAIT_S)["ok"]


def test_a_living_daemons_socket_is_left_alone(path: Path) -> None:
    with serving(path):
        with pytest.raises(MachineError, match="another daemon already listens at"), serving(path):
            pass
        assert call(path, "echo", WAIT_S)["ok"]


def test_a_successors_socket_is_left_alone(path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with serving(path):
            path.unlink()
            stack.enter_context(serving(path))
        assert call(path, "echo", WAIT_S)["ok"]


def test_a_file_in_the_way_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(MachineError, match="is in the way: it is not a socket"), serving(path):
        pass
    assert path.read_text() == "precious"


def test_a_path_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be made: AF_UNIX path too long"), serving(tmp_path / ("x" * 120)):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="cannot be made: "), serving(tmp_path / "file" / "web.sock"):
        pass


# The asking end, where no daemon answers.


def test_no_socket(path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        call(path, "status", WAIT_S)
    assert str(caught.value) == f"farmd is not running for farm web (no socket at {path})"


def test_a_socket_that_nobody_listens_at(tmp_path: Path) -> None:
    path = tmp_path / "db.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with pytest.raises(MachineError) as caught:
        call(path, "status", WAIT_S, daemon="mirrord")
    assert str(caught.value) == f"mirrord is not running for mirror db (nobody listens at {path})"


@contextlib.contextmanager
def listening(path: Path, backlog: int = 1) -> Iterator[socket.socket]:
    """A daemon that accepts and says nothing by itself, as a frozen one does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(backlog)
        yield listener


def test_a_frozen_daemon_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    with listening(tmp_path / "web.sock"), pytest.raises(MachineError, match=r"did not answer 'status' within 0\.05 s"):
        call(tmp_path / "web.sock", "status", 0.05)


def test_a_frozen_daemon_with_a_full_queue_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with listening(path, backlog=0), connected(path), pytest.raises(MachineError, match="did not answer 'status'"):
        call(path, "status", 0.05)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "farmd closed the connection without an answer"),
        (b"hello\n", "farmd gave an answer that cannot be understood"),
        (b"[]\n", "farmd gave an answer that cannot be understood"),
        (b"{}\n", "farmd gave an answer that cannot be understood"),
        (b'{"ok": false}\n', "farmd gave an answer that cannot be understood"),
        (b'{"ok": true', "farmd gave an answer that cannot be understood"),
        (b"[" * 100_000 + b"\n", "farmd gave an answer that cannot be understood"),
        (b"1" * 5_000_000, "farmd gave an answer that cannot be understood"),
    ],
)
def test_an_answer_that_is_none(tmp_path: Path, answer: bytes, sentence: str) -> None:
    with listening(tmp_path / "web.sock") as listener:

        def daemon() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(BrokenPipeError):  # the client need not hear all of it
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=daemon)
        thread.start()
        with pytest.raises(MachineError, match=f"^{sentence}$"):
            call(tmp_path / "web.sock", "status", WAIT_S)
        thread.join()


def test_the_asking_end_imports_no_asyncio() -> None:
    program = "import sys, farmd.kit.control; sys.exit('asyncio' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
