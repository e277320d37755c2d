"""The control socket, the asking end: one JSON object a line, plain sockets, no asyncio, so that farmctl starts fast.

A request is {"verb": ..., ...}. The answer is {"ok": true, ...} or {"ok": false, "error": "one sentence"}. To `watch`
it is many lines; those with "alive" say nothing else.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from farmd.errors import MachineError

LINE_BYTES_MAX = 1 << 20
"""The longest answer accepted; a status is a few kilobytes."""


def daemon_of(path: Path) -> str:
    """What is behind a control socket, also while it does not answer: beside a mirror's lies the lock of its volume."""
    return "mirrord" if path.with_suffix(".volume").exists() else "farmd"


def call(path: Path, verb: str, timeout_s: float, *, daemon: str = "farmd", **arguments: Any) -> dict[str, Any]:
    """Ask the daemon behind the socket to do `verb`; its answer, with "ok" true.

    timeout_s: the time for everything, connecting included.
    daemon: its name, for sentences; daemons are called after what they run: farmd a farm, mirrord a mirror.
    Raises MachineError with one sentence: the daemon's own when it refuses, else why there is no answer.
    """
    deadline = time.monotonic() + timeout_s
    with _connected(path, verb, timeout_s, daemon) as connection:
        _send(connection, {"verb": verb, **arguments})
        line, _ = _receive_line(connection, bytearray(), deadline)
        return _accepted(line, daemon)


def watch(
    path: Path, silence_s: float, *, daemon: str = "farmd", **arguments: Any
) -> Generator[dict[str, Any], None, None]:
    """Every status of the daemon, as it says them: at once, after each change, and at least once a second.

    silence_s: how long it may say nothing, not even that it is alive; connecting included.
    Raises MachineError like `call`, and when the daemon ends.
    """
    with _connected(path, "watch", silence_s, daemon) as connection:
        _send(connection, {"verb": "watch", **arguments})
        received = bytearray()
        while True:
            line, received = _receive_line(connection, received, time.monotonic() + silence_s)
            answer = _accepted(line, daemon)
            if "alive" not in answer:
                yield answer


@contextlib.contextmanager
def _connected(path: Path, verb: str, timeout_s: float, daemon: str) -> Iterator[socket.socket]:
    """A connection; what goes wrong with it, also later, becomes a MachineError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            yield connection
        except (FileNotFoundError, ConnectionRefusedError) as error:
            what = "no socket" if isinstance(error, FileNotFoundError) else "nobody listens"
            name = f"{daemon.removesuffix('d')} {path.stem}"
            raise MachineError(f"{daemon} is not running for {name} ({what} at {path})") from None
        except PermissionError:
            raise MachineError(f"permission denied at {path}: only root and the group {daemon} may ask") from None
        except (TimeoutError, BlockingIOError):  # the latter: the daemon no longer accepts, its queue is full
            raise MachineError(f"{daemon} did not answer '{verb}' within {timeout_s:g} s") from None
        except OSError as error:
            raise MachineError(f"{daemon} cannot be asked at {path}: {error.strerror or error}") from None


def _send(connection: socket.socket, request: dict[str, Any]) -> None:
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
    except (BrokenPipeError, ConnectionResetError):
        # The daemon refused and closed before it read us; its sentence is still to be read.
        return


def _receive_line(connection: socket.socket, received: bytearray, deadline: float) -> tuple[bytes, bytearray]:
    """The next line, and what came after it; `received` is what came after the last one."""
    while (end := received.find(b"\n") + 1) == 0 and len(received) <= LINE_BYTES_MAX:
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        connection.settimeout(remaining_s)
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            break
        if not chunk:
            break
        received += chunk
    end = end or len(received)
    return bytes(received[:end]), received[end:]


def _accepted(line: bytes, daemon: str) -> dict[str, Any]:
    if not line:
        raise MachineError(f"{daemon} closed the connection without an answer")
    try:
        answer = json.loads(line)
        if answer["ok"]:
            return dict(answer)
        sentence = str(answer["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MachineError(f"{daemon} gave an answer that cannot be understood") from None
    raise MachineError(sentence)
