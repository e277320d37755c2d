"""Watching a health page from inside a node: asked every few milliseconds, it tells when its answer changes.

    python -m lab.page --port 5480 --path /ready

It prints one JSON object per line, {"at": ..., "status": ...}, at first and at each change; `at` is CLOCK_MONOTONIC in
seconds, when the answer had arrived, and status 0 is no answer.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
from typing import Self

from lab.measure import Places
from lab.services import HEALTH_PORT
from lab.waiting import until

INTERVAL_S = 0.002
TIMEOUT_S = 2.0


class Page:
    """The page as one node shows it."""

    def __init__(self, lab: Places, node: str, path: str = "/ready") -> None:
        self.node = node
        self.seen: list[tuple[float, int]] = []
        """When, and which status, at first and at each change."""
        command = [sys.executable, "-m", "lab.page", f"--path={path}"]
        self._child = lab.popen(node, *command, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        until(lambda: self.seen != [], f"the page of {node} to be asked", timeout_s=10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        self._child.wait()
        self._reader.join()

    @property
    def status(self) -> int:
        """The newest."""
        return self.seen[-1][1]

    def wait(self, status: int, since_s: float = 0.0, timeout_s: float = 10.0) -> float:
        """When the page first had this status after `since_s`; LabError if it never does."""
        until(lambda: self._first(status, since_s) is not None, f"the page of {self.node} to say {status}", timeout_s)
        found = self._first(status, since_s)
        assert found is not None
        return found

    def _first(self, status: int, since_s: float) -> float | None:
        return next((at for at, seen in self.seen if seen == status and at >= since_s), None)

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            change = json.loads(line)
            self.seen.append((change["at"], change["status"]))


def main() -> None:
    """Entry of `python -m lab.page`."""
    parser = argparse.ArgumentParser(prog="lab.page", description="Watch a health page.")
    parser.add_argument("--port", type=int, default=HEALTH_PORT)
    parser.add_argument("--path", default="/ready")
    arguments = parser.parse_args()
    known = -1
    connection = http.client.HTTPConnection("127.0.0.1", arguments.port, timeout=TIMEOUT_S)
    while True:
        status = _ask(connection, arguments.path)
        if status != known:
            print(json.dumps({"at": time.monotonic(), "status": status}), flush=True)
            known = status
        time.sleep(INTERVAL_S)


def _ask(connection: http.client.HTTPConnection, path: str) -> int:
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    connection.close()
    return 0


if __name__ == "__main__":
    main()
