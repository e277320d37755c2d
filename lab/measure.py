"""Measuring from inside of the lab: a child process in a client place, from its start to its result.

`with requests(lab, "lan", "10.0.0.100") as clients: lab.kill("n1")`, for example; then `clients.result()["gap_ms"]`.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, Protocol, Self

from lab.errors import LabError
from lab.topology import CLIENTS, FAR, LAN, VIPS, clients


class Places(Protocol):
    """A lab of any kind, as far as measuring goes."""

    def popen(self, place: str, *command: str, stdout: int | None = None) -> subprocess.Popen[bytes]: ...


class Measurement:
    """A measuring child; it is started by the constructor, and has begun to measure when `with` has been entered."""

    def __init__(self, lab: Places, place: str, module: str, *arguments: str) -> None:
        self._result: dict[str, Any] | None = None
        self._what = f"{module} in {place}"
        self._child = lab.popen(place, sys.executable, "-m", module, *arguments, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        """LabError if the child ends before it is ready."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        self._take(line)
        if not line:
            raise LabError(f"{self._what} ended with status {self._child.wait()} before it was ready")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> dict[str, Any]:
        """End the measurement now, and return the result."""
        if self._result is None:
            self._child.terminate()
            self._collect(timeout_s=10.0)
        return self.result()

    def finish(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the measurement's own end, and return the result; subprocess.TimeoutExpired if it takes longer."""
        if self._result is None:
            self._collect(timeout_s)
        return self.result()

    def result(self) -> dict[str, Any]:
        """What was measured, after `stop`, `finish` or the end of the `with` block."""
        if self._result is None:
            raise LabError("the measurement gave no result")
        return self._result

    def _collect(self, timeout_s: float) -> None:
        output, _ = self._child.communicate(timeout=timeout_s)
        for line in output.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        message = json.loads(line) if line.startswith(b"{") else {}
        if message.get("event") == "result":
            self._result = message


def requests(
    lab: Places, place: str, target: str, *, count: int = CLIENTS, seconds: float = 60.0, **options: float | str
) -> Measurement:
    """Clients that ask again and again; options of lab/clients.py with underscores, such as `interval_ms=20`."""
    return _clients(lab, "requests", place, target, {"count": count, "seconds": seconds, **options})


def downloads(
    lab: Places, place: str, target: str, *, downloads: int = 200, seconds: float = 120.0, **options: float | str
) -> Measurement:
    """Long downloads, all at once; options of lab/clients.py with underscores, such as `bytes=1_000_000`."""
    return _clients(lab, "downloads", place, target, {"downloads": downloads, "seconds": seconds, **options})


def duplicates(lab: Places, place: str = LAN, vips: Iterable[object] = VIPS) -> Measurement:
    """A watch over the answers that a client place gets from these addresses."""
    routed = ["--routed"] if place == FAR else []
    return Measurement(lab, place, "lab.duplicates", *(f"--vip={vip}" for vip in vips), *routed)


def _clients(lab: Places, mode: str, place: str, target: str, options: dict[str, float | str]) -> Measurement:
    first = clients(place, ip_address(target).version, 1)[0]
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return Measurement(lab, place, "lab.clients", mode, f"--target={target}", f"--first={first}", *given)
