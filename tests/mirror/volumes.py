"""Volumes under test: real processes with real mounts, ordered about as their daemons would."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal, TypeVar

from lab.waiting import until
from mirrord import orders
from mirrord.orders import (
    Alive,
    Cover,
    Done,
    Follow,
    GoAlone,
    InSync,
    Lead,
    Linked,
    Open,
    Opened,
    Order,
    Report,
    Serve,
)  # fmt: skip

KEY = "11" * 32
WAIT_S = 20.0
T = TypeVar("T")
_ports = itertools.count(30000)


class VolumeProcess:
    """One volume, and all that it has reported."""

    def __init__(self, opening: Open, command: Sequence[str] = ()) -> None:
        """command: what starts it, as prlimit(1) or nice(1) do."""
        self.opening = opening
        self.reports: list[Report] = []
        self.done: dict[int, Done] = {}
        self._numbers = itertools.count(1)
        self._line, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            self.process = subprocess.Popen(
                [*command, sys.executable, "-m", "mirrord.volume", "--fd", str(fd)], pass_fds=[fd],
                start_new_session=True,
            )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._send(opening)

    @property
    def data(self) -> Path:
        return Path(self.opening.directories[0])

    def order(self, order: Order) -> int:
        """Without waiting for what becomes of it."""
        return self._send(order)

    def obey(self, order: Order) -> Done:
        """Waits until it is carried out."""
        number = self._send(order)
        until(lambda: number in self.done or self.ended, f"{order} to be done", WAIT_S)
        assert number in self.done, f"the volume has ended with {self.process.returncode}"
        assert not self.done[number].failure, f"{order}: {self.done[number].failure}"
        return self.done[number]

    def wait(self, kind: type[T], since: int = 0, within_s: float = WAIT_S) -> T:
        """The first report of a kind, among those from a place on."""
        found: list[T] = []

        def has_come() -> bool:
            found.extend(each for each in self.reports[since:] if isinstance(each, kind))
            return bool(found)

        until(lambda: has_come() or self.ended, f"{kind.__name__} of node {self.opening.node}", within_s)
        if self.ended:
            self._listener.join()
            has_come()
        assert found, f"node {self.opening.node} has ended without {kind.__name__}"
        return found[0]

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def figures(self) -> dict[str, Any]:
        """The next ones."""
        return self.wait(Alive, len(self.reports)).figures

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close_line(self) -> None:
        """As if its daemon had died."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """However it is: nothing is left of it."""
        self.process.send_signal(signal.SIGCONT)
        self.close_line()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._listener.join()
        self._line.close()
        for path in self.opening.directories:
            while subprocess.run(["umount", "--lazy", path], capture_output=True).returncode == 0:
                pass

    def _send(self, order: Order) -> int:
        number = next(self._numbers)
        self._line.sendall(orders.encode(order, number))
        return number

    def _listen(self) -> None:
        with contextlib.suppress(OSError), self._line.makefile("rb") as lines:
            for line in lines:
                report, number = orders.decode(line)
                if isinstance(report, Done):
                    self.done[number] = report
                else:
                    self.reports.append(report)  # type: ignore[arg-type]


class Pair:
    """Two volumes over loopback; node 1 serves unless told otherwise."""

    def __init__(
        self, folder: Path, *, per_node: dict[int, dict[str, Any]] | None = None, command: Sequence[str] = (),
        **options: Any,
    ) -> None:  # fmt: skip
        """options: fields of Open, of both nodes or of one. command: what starts the volumes."""
        self._folder = folder
        self._options = options
        self._per_node = per_node or {}
        self._command = command
        self._port = next(_ports)
        self._keep: list[VolumeProcess] = []
        self.first = self.start(1)
        self.second = self.start(2)

    def opening(self, node: int) -> Open:
        own = self._folder / f"node{node}"
        if not own.is_dir() or not (own / "state").is_dir():
            (own / "data").mkdir(parents=True)  # not looked at later, when a dead mount may be over it
            (own / "state").mkdir()
        addresses = {node: loopback(node) for node in (1, 2)}
        opening = Open(
            "db", node, [str(own / "data")], str(own / "state"), "applied", [KEY], [addresses[node]], 3 - node,
            [addresses[3 - node]], self._port,
        )  # fmt: skip
        return replace(opening, **self._options, **self._per_node.get(node, {}))

    def start(self, node: int) -> VolumeProcess:
        volume = VolumeProcess(self.opening(node), self._command)
        self._keep.append(volume)
        volume.wait(Opened)
        volume.obey(Cover())
        return volume

    def alone(self) -> None:
        """The first one serves without a peer."""
        self.first.obey(Serve())
        self.first.obey(GoAlone())

    def link(
        self, generation: int = 1, resync: Literal["journal", "everything"] = "journal", within_s: float = WAIT_S
    ) -> None:
        """The second one follows the first one, until both say that they are in sync."""
        here, there = len(self.first.reports), len(self.second.reports)
        self.second.obey(Follow([generation, 1]))
        self.first.obey(Lead([generation, 1], resync))
        self.first.wait(Linked, here)
        self.first.wait(InSync, here, within_s)
        self.second.wait(InSync, there, within_s)

    def close(self) -> None:
        for volume in self._keep:
            volume.close()


def loopback(node: int) -> str:
    """An address of this machine that no other process of the tests takes: there are 2^24, and 2^22 process numbers."""
    return str(IPv4Address(127 << 24 | os.getpid() << 2 | node))


@contextlib.contextmanager
def pair(folder: Path, **options: Any) -> Iterator[Pair]:
    """A pair, of which nothing is left afterwards."""
    both = Pair(folder, **options)
    try:
        yield both
    finally:
        both.close()


def files(folder: Path) -> dict[str, bytes]:
    """Every file's content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def equal(here: Path, there: Path) -> Callable[[], bool]:
    """A condition to wait for."""
    return lambda: files(here) == files(there)


def change_places(both: Pair) -> None:
    """The follower serves from here on."""
    both.first, both.second = both.second, both.first
