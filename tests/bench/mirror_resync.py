"""What it takes to bring a peer up to date, and what live writes notice of it: `python -m tests.bench.mirror_resync`.

Two volumes over loopback, on one machine and one disk. The peer is away while 4 KiB blocks at random places of the tree
are changed; then it comes back. The journal knows zones: 4 MiB at one offset, of 64 neighbouring inodes. So what is
looked at grows with the number of files, and what is sent does not: blocks of 64 KiB are compared by digests. Latencies
are those of one writer of 4 KiB that pauses for a millisecond after each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from mirrord.core.zones import CHUNK_BYTES
from mirrord.orders import Cut, GoAlone, Progress
from tests.bench.telling import machine
from tests.mirror.volumes import Pair, pair

MIB = 1 << 20
BLOCK_BYTES = 4096
RESYNC_S_MAX = 3600.0
EQUAL = "all compared"
EQUAL_SENT_SHARE_MAX = 0.01
"""Of a tree in which nothing has changed, not even this much may be sent to find that out."""

WRITER = """
import json, os, signal, sys, time
went_on = True
def stop(*_):
    global went_on
    went_on = False
signal.signal(signal.SIGTERM, stop)
fd, block, took = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), os.urandom(4096), []
while went_on:
    began = time.monotonic_ns()
    os.pwrite(fd, block, len(took) % 4096 * 4096)
    took.append((began, time.monotonic_ns() - began))
    time.sleep(0.001)  # an application that writes now and then, not one that takes all there is
json.dump(took, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Resync:
    """One of them."""

    what: str
    took_s: float
    looked_at_bytes: int
    sent_bytes: int
    changed_blocks: int | None = None
    """Of 4 KiB; None where that is not what it is about."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of live writes, in milliseconds."""

    during: str
    writes: int
    median_ms: float
    p99_ms: float
    worst_ms: float


@dataclass
class Result:
    """The fields of `--json`."""

    machine: str
    files: int
    file_bytes: int
    resyncs: list[Resync] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)

    @property
    def tree_bytes(self) -> int:
        return self.files * self.file_bytes


class Writer:
    """A process that writes; afterwards, when it began each write and how long that took, in ns of CLOCK_MONOTONIC."""

    def __init__(self, path: Path) -> None:
        self.took: list[tuple[int, int]] = []
        self._process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self.took = json.loads(self._process.communicate()[0])

    def latency(self, during: str, from_ns: int, to_ns: int) -> Latency:
        """Of the writes that began within this time."""
        ms = sorted(took / 1e6 for began, took in self.took if from_ns <= began < to_ns)
        return Latency(during, len(ms), statistics.median(ms), ms[int(0.99 * (len(ms) - 1))], ms[-1])


class Benchmark:
    """A pair, and the resyncs from one state of its tree to the next."""

    def __init__(self, both: Pair, files: int, file_bytes: int) -> None:
        self.both = both
        self.result = Result(machine(), files, file_bytes)
        self.files = [both.first.data / f"{number}" for number in range(files)]
        self._random = random.Random(1)
        self._generation = 0

    def run(self, changes: list[int], seconds: float) -> Result:
        self.both.alone()
        self._fill()
        self._resync("all copied")
        self._part()
        self._resync(EQUAL, "everything")
        for count in changes:
            self._part()
            self._change(count)
            self._resync(f"{count} blocks changed", changed=count)
        self._live(seconds)
        return self.result

    def _live(self, seconds: float) -> None:
        """What a writer notices; for the two states that last, in a window of so many seconds."""
        writer = Writer(self.both.first.data / "live")
        try:
            spans = [self._span("in sync", lambda: time.sleep(seconds))]
            self._part()
            spans.append(self._span("the peer is away", lambda: time.sleep(seconds)))
            name = f"{EQUAL}, amid writes"
            spans.append(self._span("everything is compared", lambda: self._resync(name, "everything")))
            self._part()
            self._fill()
            spans.append(self._span("everything is copied", lambda: self._resync("all copied, amid writes")))
        finally:
            writer.end()
        self.result.latencies = [writer.latency(*span) for span in spans]

    @staticmethod
    def _span(name: str, do: Callable[[], None]) -> tuple[str, int, int]:
        """What was done, from when to when."""
        began_ns = time.monotonic_ns()
        do()
        return name, began_ns, time.monotonic_ns()

    def _fill(self) -> None:
        for path in self.files:
            with path.open("wb", buffering=0) as file:
                for _ in range(self.result.file_bytes // MIB):
                    file.write(os.urandom(MIB))

    def _change(self, count: int) -> None:
        blocks = self.result.tree_bytes // BLOCK_BYTES
        for block in self._random.sample(range(blocks), count):
            number, offset = divmod(block * BLOCK_BYTES, self.result.file_bytes)
            fd = os.open(self.files[number], os.O_WRONLY)
            os.pwrite(fd, os.urandom(BLOCK_BYTES), offset)
            os.close(fd)

    def _part(self) -> None:
        self.both.second.obey(Cut())
        self.both.first.obey(GoAlone())

    def _resync(self, what: str, how: Literal["journal", "everything"] = "journal", changed: int | None = None) -> None:
        self._generation += 1
        told = len(self.both.first.reports)
        began = time.monotonic()
        self.both.link(self._generation, how, RESYNC_S_MAX)
        took_s = time.monotonic() - began
        last = [report for report in self.both.first.reports[told:] if isinstance(report, Progress)][-1]
        self.result.resyncs.append(Resync(what, took_s, last.total_bytes, last.sent_bytes, changed))


def show(result: Result, console: Console) -> None:
    title = f"{result.machine}; {result.files} files of {result.file_bytes / 1e6:,.0f} MB"
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("resync", "s", "MB", "MB/s", "sent, MB", "of tree", "of zones"):
        table.add_column(heading, no_wrap=True, justify="left" if heading == "resync" else "right")
    for one in result.resyncs:
        zones = f"{one.sent_bytes / (one.changed_blocks * CHUNK_BYTES):.2%}" if one.changed_blocks else ""
        table.add_row(
            one.what, f"{one.took_s:.2f}", f"{one.looked_at_bytes / 1e6:,.0f}",
            f"{one.looked_at_bytes / 1e6 / one.took_s:,.0f}", f"{one.sent_bytes / 1e6:,.2f}",
            f"{one.sent_bytes / result.tree_bytes:.2%}", zones,
        )  # fmt: skip
    console.print(table)
    console.print("MB: looked at; of zones: sent, of as many zones as blocks were changed")
    latencies = Table("\nwrites while", "\nwrites", "\nmedian, ms", "\np99, ms", "\nworst, ms", box=None)
    for each in result.latencies:
        figures = (each.median_ms, each.p99_ms, each.worst_ms)
        latencies.add_row(each.during, str(each.writes), *(f"{ms:.2f}" for ms in figures))
    console.print(latencies)
    share = result.resyncs[1].sent_bytes / result.tree_bytes
    missed = "" if share < EQUAL_SENT_SHARE_MAX else ": missed"
    console.print(f"nothing changed: {share:.2%} sent, wanted less than {EQUAL_SENT_SHARE_MAX:.0%}{missed}")


def main() -> None:
    """Entry of `python -m tests.bench.mirror_resync`."""
    parser = argparse.ArgumentParser("tests.bench.mirror_resync", description=__doc__)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--file-size", type=int, default=256, metavar="MIB", help="of each file (default 256)")
    parser.add_argument("--changes", type=int, nargs="+", default=[10, 100, 1000], metavar="BLOCKS")
    parser.add_argument("--seconds", type=float, default=5.0, help="of live writes without a resync")
    parser.add_argument("--folder", default="/var/tmp", help="where the two nodes' directories are made")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, pair(Path(folder)) as both:
        result = Benchmark(both, arguments.files, arguments.file_size * MIB).run(arguments.changes, arguments.seconds)
    if arguments.json:
        print(json.dumps(asdict(result)))
    else:
        show(result, Console())


if __name__ == "__main__":
    main()
