"""A busy farm on a busy machine: ten minutes of 2,000 requests a second while every core is loaded.

    sudo .venv/bin/python -m tests.bench.soak [--seconds N] [--rate N] [--json]

Each request is a connection of its own, from one of 256 clients, near ones and those behind a router, IPv4 and IPv6. On
every core a process computes for all it is worth, at the same priority as nginx and the clients. Nothing fails in
this farm, so no node may be taken for dead, no filter may close and no request may fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from lab import measure
from lab.network import Lab
from lab.topology import CLIENTS, FAR, LAN, VIPS
from tests.bench import telling
from tests.lab.nodes import NODES, farmctl

CROWDS = [(place, str(vip)) for place in (LAN, FAR) for vip in VIPS]
"""Clients of each place and family are a process of their own."""
PATIENCE = {"timeout_ms": 5000, "answer_ms": 5000}
"""A client waits as long as TCP needs for two more tries, and then for the answer."""


@dataclass
class Figures:
    """What was measured; the fields of `--json`."""

    machine: str
    seconds: float
    requests: int = 0
    failed: int = 0
    slowest_gap_ms: float = 0.0
    """The longest time that any client was without an answer after a failed request."""
    views: int = 0
    """Views installed meanwhile; each would be a takeover that nobody needed."""
    fenced: int = 0
    """Packets that a filter refused because its lease had run out."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return round(self.requests / self.seconds, 1)


def soak(lab: Lab, seconds: float, rate: float) -> Figures:
    """Lets the farm work, and compares before with after."""
    figures = Figures(telling.machine(), seconds)
    interval_ms = 1000 * len(CROWDS) * CLIENTS / rate
    before = {node: farmctl(lab, node, "status") for node in NODES}
    with ExitStack() as ending:
        ending.enter_context(every_core_loaded())
        crowds = [
            ending.enter_context(
                measure.requests(lab, place, vip, seconds=seconds, interval_ms=interval_ms, **PATIENCE)
            )
            for place, vip in CROWDS
        ]
        results = [crowd.finish(timeout_s=seconds + 60) for crowd in crowds]
    after = {node: farmctl(lab, node, "status") for node in NODES}
    figures.requests = sum(result["requests"] for result in results)
    figures.failed = sum(result["failed"] for result in results)
    figures.slowest_gap_ms = round(max(result["gap_ms"] for result in results), 1)
    figures.views = max(_number(after[node]) - _number(before[node]) for node in NODES)
    figures.fenced = sum(_fenced(after[node]) - _fenced(before[node]) for node in NODES)
    return figures


def _number(status: dict[str, Any]) -> int:
    """The number of the view in force; a new one is greater."""
    return int(status["epoch"].partition(".")[0])


def _fenced(status: dict[str, Any]) -> int:
    return int(status["counters"]["drop_fenced"])


@contextmanager
def every_core_loaded() -> Iterator[None]:
    """One process that never waits, for each core."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def main() -> None:
    parser = telling.options("Ten minutes of load on a machine whose cores are all busy.")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=2000.0, help="requests a second, all clients together")
    options = parser.parse_args()
    with Lab(f"soak-{os.getpid()}") as lab:
        figures = soak(lab, options.seconds, options.rate)
    print(figures.machine)
    print(f"{figures.seconds:g} s, every core loaded, {figures.requests} requests ({figures.rate:g} a second)")
    print(f"failed requests {figures.failed}, views changed {figures.views}, packets fenced {figures.fenced}")
    if options.json:
        print(json.dumps(asdict(figures) | {"rate": figures.rate}))
    sys.exit(1 if figures.failed or figures.views else 0)


if __name__ == "__main__":
    main()
