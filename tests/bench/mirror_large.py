"""What others notice while a large file is written, synced, cut and removed: `python -m tests.bench.mirror_large`.

Two volumes over loopback, on one machine and one disk. Latencies are those of a writer of 4 KiB in another file, which
pauses for a millisecond after each; *silent* is the longest time without a sign of life of either volume, which gives
one a second and is killed after five without.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.waiting import until
from mirrord.orders import Alive
from tests.bench.mirror_resync import Latency, Writer
from tests.bench.telling import machine
from tests.mirror.volumes import Pair, VolumeProcess, pair

MIB = 1 << 20
LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Large:
    """What was done to the file."""

    what: str
    took_s: float
    silent_s: float


@dataclass
class Result:
    """The fields of `--json`."""

    machine: str
    gib: float
    done: list[Large] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)


class Signs:
    """How long a volume has been silent, at most, since `begin`."""

    def __init__(self, volume: VolumeProcess) -> None:
        self._volume = volume
        self._ended = threading.Event()
        self.last_s = time.monotonic()
        """When it gave the last one."""
        self.silent_s = 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        self.silent_s = 0.0

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        seen = 0
        while not self._ended.wait(LOOK_S):
            new = self._volume.reports[seen:]
            seen += len(new)
            if any(isinstance(report, Alive) for report in new):
                self.last_s = time.monotonic()
            self.silent_s = max(self.silent_s, time.monotonic() - self.last_s)


class Benchmark:
    """A pair in sync, a large file and a small one."""

    def __init__(self, both: Pair, gib: float) -> None:
        self.result = Result(machine(), gib)
        self._data = both.first.data
        self._path = self._data / "large"
        self._signs = [Signs(both.first), Signs(both.second)]

    def run(self, idle_s: float) -> Result:
        writer = Writer(self._data / "small")
        try:
            spans = [
                self._do("nothing", lambda: time.sleep(idle_s)),
                self._do("write it", self._write),
                self._do("fsync", self._sync),
                self._do("cut it to nothing", lambda: os.truncate(self._path, 0)),
                self._do("write it again", self._write),
                self._do("remove it", self._path.unlink),
            ]
        finally:
            writer.end()
            for signs in self._signs:
                signs.end()
        self.result.latencies = [writer.latency(*span) for span in spans]
        return self.result

    def _do(self, what: str, do: Callable[[], object]) -> tuple[str, int, int]:
        for signs in self._signs:
            signs.begin()
        began_ns = time.monotonic_ns()
        do()
        ended_ns = time.monotonic_ns()
        until(lambda: all(signs.last_s * 1e9 > ended_ns for signs in self._signs), "signs of life", timeout_s=60)
        silent_s = max(signs.silent_s for signs in self._signs)
        self.result.done.append(Large(what, (ended_ns - began_ns) / 1e9, silent_s))
        return what, began_ns, time.monotonic_ns()

    def _write(self) -> None:
        with self._path.open("wb", buffering=0) as file:
            for _ in range(int(self.result.gib * 1024)):
                file.write(os.urandom(MIB))

    def _sync(self) -> None:
        fd = os.open(self._path, os.O_RDWR)
        os.fsync(fd)
        os.close(fd)


def show(result: Result, console: Console) -> None:
    table = Table(title=f"{result.machine}; {result.gib:g} GiB", title_justify="left", box=None)
    for heading in ("", "s", "silent, s", "writes", "median ms", "99 % ms", "worst ms"):
        table.add_column(heading, no_wrap=True, justify="right" if heading else "left")
    for done, latency in zip(result.done, result.latencies, strict=True):
        table.add_row(
            done.what, f"{done.took_s:.2f}", f"{done.silent_s:.2f}", f"{latency.writes}", f"{latency.median_ms:.2f}",
            f"{latency.p99_ms:.2f}", f"{latency.worst_ms:.2f}",
        )  # fmt: skip
    console.print(table)


def main() -> None:
    """Entry of `python -m tests.bench.mirror_large`."""
    parser = argparse.ArgumentParser(prog="tests.bench.mirror_large", description="Measure what large files cost.")
    parser.add_argument("--gib", type=float, default=3.0)
    parser.add_argument("--idle", type=float, default=3.0, help="seconds in which nothing is done, to compare with")
    parser.add_argument("--folder", default="/var/tmp", help="where the two nodes' directories are made")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, pair(Path(folder)) as both:
        both.alone()
        both.link()
        result = Benchmark(both, arguments.gib).run(arguments.idle)
    if arguments.json:
        json.dump(asdict(result), sys.stdout, indent=2)
    else:
        show(result, Console(width=120))


if __name__ == "__main__":
    main()
