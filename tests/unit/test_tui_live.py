"""`farmctl top` as a program, on a real terminal, before a daemon that says what the test tells it to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit import mirrors
from tests.unit.statuses import status
from tests.unit.terminals import WAIT_S, Terminal, program


class Daemon:
    """A control socket that answers with one status and pushes it again whenever it changes."""

    def __init__(self, path: Path, made: Callable[..., dict[str, Any]] = status) -> None:
        """made: makes its statuses; by default those of a farm in which all is well."""
        self.path = path
        self._made = made
        self._status = made()
        self._changed = threading.Condition()
        self._frozen = False
        self._connections: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(8)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        self.path.unlink()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def say(self, **changes: Any) -> None:
        with self._changed:
            self._status = self._made(**changes)
            self._changed.notify_all()

    def freeze(self, frozen: bool = True) -> None:
        with self._changed:
            self._frozen = frozen
            self._changed.notify_all()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            request = json.loads(connection.makefile("r").readline())
            assert request == {"verb": "watch", "buckets": True}
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: not self._frozen)
                    said = self._status
                connection.sendall(json.dumps(said).encode() + b"\n")
                self._pause(connection, said)

    def _pause(self, connection: socket.socket, said: dict[str, Any]) -> None:
        """Signs of life until there is something else to say, or a second is over."""
        for _ in range(10):
            with self._changed:
                if self._changed.wait_for(lambda: self._frozen or self._status is not said, timeout=0.1):
                    return
            connection.sendall(b'{"ok": true, "alive": true}\n')


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    found = Daemon(tmp_path / "web.sock")
    yield found
    with contextlib.suppress(OSError):
        found.close()


@pytest.fixture
def top(daemon: Daemon) -> Iterator[Terminal]:
    with started(daemon) as terminal:
        terminal.until_shown("q quit")
        yield terminal


def started(daemon: Daemon, *arguments: str, width: int = 80, height: int = 24, **environment: str) -> Terminal:
    environment = {"FARMD_RUN": str(daemon.path.parent)} | environment
    return Terminal([program("farmctl"), "top", *arguments], width, height, **environment)


def farmctl(daemon: Daemon, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run without a terminal."""
    return subprocess.run(
        [program("farmctl"), "top", *arguments],
        env=os.environ | {"FARMD_RUN": str(daemon.path.parent)} | environment,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


# -- on a terminal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keys", "code"), [("q", 0), ("Q", 0), ("xq", 0), ("\x03", 0)])
def test_a_key_ends_it_and_the_terminal_is_as_it_was(top: Terminal, keys: str, code: int) -> None:
    assert top.screen.alternate
    assert not top.screen.cursor
    top.press(keys)
    assert top.end() == code
    assert top.restored()


def test_another_key_changes_nothing(top: Terminal, daemon: Daemon) -> None:
    top.press("x\x1b[A")
    daemon.say(epoch="8.1")
    top.until_shown("epoch 8.1")


def test_a_change_is_shown(top: Terminal, daemon: Daemon) -> None:
    daemon.say(lease="fenced")
    top.until_shown("n1 is fenced")
    daemon.say()
    top.until_shown("all 3 nodes are up")


def test_it_follows_the_size_of_the_terminal(top: Terminal) -> None:
    top.resize(120, 40)
    top.until(lambda: top.screen.rows.get(40) == "q quit", "40 lines")
    assert len(top.text().splitlines()[0]) == 120
    top.resize(60, 20)
    top.until(lambda: top.text() == "The view needs 80 x 24 characters; here are 60 x 20.", "the sentence alone")
    top.resize(80, 24)
    top.until(lambda: top.screen.rows.get(24) == "q quit", "24 lines")
    assert max(len(line) for line in top.text().splitlines()) == 80


def test_a_daemon_that_goes_away_is_waited_for(top: Terminal, daemon: Daemon) -> None:
    daemon.close()
    top.until_shown("farmd is not running for farm web")
    daemon.say(epoch="9.2")
    daemon.open()
    top.until_shown("epoch 9.2")
    top.until(lambda: "not running" not in top.text(), "good news")


def test_a_frozen_daemon_is_noticed(top: Terminal, daemon: Daemon) -> None:
    daemon.freeze()
    top.until_shown("farmd did not answer")
    daemon.freeze(False)
    top.until_shown("all 3 nodes are up")


def test_frames_have_their_distance(top: Terminal, daemon: Daemon) -> None:
    before, start = top.screen.heads, time.monotonic()
    for number in range(150):
        daemon.say(epoch=f"{number}.1")
        top.read(0.01)
    top.until_shown("epoch 149.1")
    assert top.screen.heads - before <= 10 * (time.monotonic() - start) + 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_the_terminal_is_as_it_was(top: Terminal, number: signal.Signals) -> None:
    top.process.send_signal(number)
    assert top.end() == 128 + number
    assert top.restored()


def test_a_bug_ends_it_and_the_terminal_is_as_it_was(top: Terminal, daemon: Daemon) -> None:
    daemon.say(takeovers="nonsense")
    assert top.end() == 1
    assert top.restored()
    assert "TypeError" in top.text()


def test_the_shell_gets_its_terminal_back_for_a_while(top: Terminal) -> None:
    top.press("\x1a")
    top.until(lambda: os.waitpid(top.process.pid, os.WUNTRACED | os.WNOHANG)[0], "it to stop")
    top.until(top.restored, "the shell's terminal")
    top.process.send_signal(signal.SIGCONT)
    top.until(lambda: top.screen.alternate and "all 3 nodes are up" in top.text(), "the view")
    top.press("q")
    assert top.end() == 0
    assert top.restored()


def test_it_ends_with_its_terminal(top: Terminal) -> None:
    top.close()
    assert top.process.wait(WAIT_S) == 128 + signal.SIGHUP


@pytest.mark.parametrize(
    ("environment", "letters"),
    [({}, False), ({"NO_COLOR": "1"}, True), ({"TERM": "vt100"}, True), ({"TERM": "linux"}, False),
     ({"TERM": "no-such-terminal"}, False)],
)  # fmt: skip
def test_owners_have_letters_where_there_are_no_colours(
    daemon: Daemon, environment: dict[str, Any], letters: bool
) -> None:
    with started(daemon, **environment) as terminal:
        terminal.until_shown("q quit")
        assert ("ABCABCABC" in terminal.text()) == letters
        assert ("▀▀▀▀" in terminal.text()) == (not letters)
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.restored()


def test_the_first_frame_comes_soon(daemon: Daemon) -> None:
    start = time.monotonic()
    with started(daemon) as terminal:
        terminal.until_shown("q quit")
        assert time.monotonic() - start < 2.0


def test_one_frame_on_a_terminal(daemon: Daemon) -> None:
    with started(daemon, "--once", width=90) as terminal:
        assert terminal.end() == 0
        assert not terminal.screen.alternate
        assert terminal.restored()


# -- several of them ---------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(daemon: Daemon) -> Iterator[Daemon]:
    found = Daemon(daemon.path.with_name("db.sock"), mirrors.status)
    yield found
    with contextlib.suppress(OSError):
        found.close()


def test_a_key_leads_to_the_next_one(daemon: Daemon, mirror: Daemon) -> None:
    with started(daemon) as terminal:
        for key, shown in (("", "n1 serves, n2 is in sync"), ("\t", "all 3 nodes are up"), ("n", "P R I M")):
            terminal.press(key)
            terminal.until_shown(shown)
        terminal.until_shown("tab web")
        mirror.say(role="ALONE", in_sync=False)
        terminal.until_shown("A L O N E")
        daemon.close()
        terminal.until(lambda: "tab" not in terminal.text(), "the key to lead nowhere")
        terminal.press("\tq")
        assert terminal.end() == 0
        assert terminal.restored()


def test_the_one_that_was_asked_for_comes_first(daemon: Daemon, mirror: Daemon) -> None:
    with started(daemon, "--farm", "web") as terminal:
        terminal.until_shown("all 3 nodes are up")
        terminal.until_shown("tab db")
        mirror.freeze()
        terminal.press("\t")
        terminal.until_shown("did not answer")
        assert terminal.text().startswith("db")
        mirror.freeze(False)
        terminal.until_shown("P R I M")


def test_a_mirror_has_a_history(daemon: Daemon, mirror: Daemon) -> None:
    with started(daemon) as terminal:
        terminal.until_shown("P R I M")
        mirror.say(said_ns=10**9)
        terminal.until(lambda: "██" in terminal.text(), "two seconds of writes")


@pytest.mark.usefixtures("mirror")
def test_without_a_terminal_one_must_be_chosen(daemon: Daemon) -> None:
    assert "several farms or mirrors run here; choose one with --farm: db, web" in farmctl(daemon).stderr
    assert "P R I M" in farmctl(daemon, "--mirror", "db").stdout


@pytest.mark.usefixtures("mirror")
def test_a_picture_of_a_mirror_is_saved(daemon: Daemon, tmp_path: Path) -> None:
    assert farmctl(daemon, "--farm", "db", "--svg", str(tmp_path / "top.svg")).returncode == 0
    assert "S&#160;E&#160;C&#160;O&#160;N&#160;D" in (tmp_path / "top.svg").read_text()


# -- without a terminal ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--once",)])
def test_one_frame_goes_where_there_is_no_terminal(daemon: Daemon, arguments: tuple[str, ...]) -> None:
    done = farmctl(daemon, *arguments)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "ABCABC" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_ascii_where_nothing_else_can_be_written(daemon: Daemon) -> None:
    done = farmctl(daemon, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_json_is_what_the_daemon_says(daemon: Daemon) -> None:
    assert json.loads(farmctl(daemon, "--json").stdout) == status()


def test_a_picture_is_saved(daemon: Daemon, tmp_path: Path) -> None:
    assert farmctl(daemon, "--svg", str(tmp_path / "top.svg")).returncode == 0
    assert (tmp_path / "top.svg").read_text().startswith("<svg")
    failed = farmctl(daemon, "--svg", str(tmp_path / "no" / "top.svg"))
    assert failed.returncode == 1
    assert failed.stderr.endswith("cannot be written: No such file or directory\n")


def test_no_daemon_is_said_at_once(daemon: Daemon) -> None:
    daemon.close()
    with started(daemon, "--farm", "web") as terminal:
        assert terminal.end() == 1
        assert terminal.restored()
        assert "farmd is not running for farm web" in terminal.text()
