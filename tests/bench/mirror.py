"""A mirror beside its peers, in one run: bare ext4, the same capture without a peer, GlusterFS with two replicas.

    sudo .venv/bin/python -m tests.bench.mirror [--rounds 3] [--seconds 3] [--only WORK ...] [--json]

Two nodes in namespaces, each with an ext4 file system of its own in a file (lab/mirror_disk.py); every contender is a
folder of n1's. Rounds are interleaved: each work is done by one contender after the other, then again. What is printed
are medians and their ratios. GlusterFS comes twice, since its default answers a write before anything is sent. ext4
comes twice for what is read from the cache: since Linux 6.16 it caches files in large folios, and FUSE in single pages,
as ext4 does when it is mounted with data=journal.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.errors import LabError
from lab.machine import PATH
from lab.mirror import MirrorLab, plain
from tests.bench import gluster
from tests.bench.mirror_work import FIO, MANY
from tests.bench.telling import machine

BARE, PAGES, SINGLE, PAIR = "ext4", "ext4, pages", "alone", "mirror"
GLUSTER, GLUSTER_SYNC = "gluster", "gluster, sync"
FOLDERS = {
    BARE: "/srv/bare",
    PAGES: "/run/pages",
    SINGLE: "/srv/single",
    PAIR: "/srv/pair",
    GLUSTER: "/run/replicated/behind",
    GLUSTER_SYNC: "/run/replicated/sync",
}
PGBENCH = "pgbench, 8 clients"
WORKS = [*FIO, *MANY, PGBENCH]
PGBENCH_SECONDS_MIN = 8.0
FILES = 100_000
FILES_GLUSTER = 5_000
"""It makes some hundred a second; figures are for each file."""
AIMS = [
    (PAIR, "write 4 KiB", 0.85, SINGLE, "write 4 KiB"),
    (PAIR, "write 4 KiB, 4 threads", 2.5, PAIR, "write 4 KiB"),
    (PAIR, PGBENCH, 0.7, BARE, PGBENCH),
    (PAIR, PGBENCH, 1.7, GLUSTER, PGBENCH),
    (PAIR, "write 4 KiB", 5.0, GLUSTER_SYNC, "write 4 KiB"),
    (PAIR, "write 4 KiB, fsync", 2.0, GLUSTER_SYNC, "write 4 KiB, fsync"),
    (PAIR, "read 4 KiB, cached", 0.9, BARE, "read 4 KiB, cached"),
    (PAIR, "read 4 KiB, cached", 0.9, PAGES, "read 4 KiB, cached"),
    (PAIR, "read 1 MiB, cached", 0.9, PAGES, "read 1 MiB, cached"),
    (BARE, "open, warm", 0.5, PAIR, "open, warm"),
    (BARE, "stat, warm", 0.5, PAIR, "stat, warm"),
    (BARE, "readdir, warm", 0.5, PAIR, "readdir, warm"),
]
"""What it sets out to reach: the first figure is at least so many times the second. Of times, the other way round."""
WRITE_1M_MB_S = 1000.0

_PAGES_DISK = """
truncate --size=1G "$1"
mkfs.ext4 -qF "$1"
mount -o loop,data=journal "$1" "$2"
"""

Figures = dict[str, dict[str, list[float]]]
"""For each contender and work the figure of every round."""


@dataclass
class Result:
    """The fields of `--json`."""

    machine: str
    disk: str = "ext4 in a loop device, in a file of the machine's root file system"
    units: dict[str, str] = field(default_factory=dict)
    figures: Figures = field(default_factory=dict)

    def median(self, contender: str, work: str) -> float | None:
        seen = self.figures.get(contender, {}).get(work)
        return statistics.median(seen) if seen else None

    def reached(self) -> list[tuple[str, str, bool]]:
        """Each aim that could be measured: in words, what came out, and whether that is enough."""
        found = []
        for one, work, least, other, other_work in AIMS:
            here, there = self.median(one, work), self.median(other, other_work)
            if here is not None and there is not None:
                versus = other if work == other_work else other_work
                ratio = here / there
                found.append((f"{one} / {versus}: {work}", f"{ratio:.2f} x, wanted {least:g} x", ratio >= least))
        if (rate := self.median(PAIR, "write 1 MiB")) is not None:
            found.append((f"{PAIR}: write 1 MiB", f"{rate:.0f} MB/s, wanted 1000", rate >= WRITE_1M_MB_S))
        return found


class Benchmark:
    """The contenders of one lab, and the rounds."""

    def __init__(self, lab: MirrorLab, contenders: Sequence[str], seconds: float) -> None:
        self.lab = lab
        self.contenders = contenders
        self.seconds = seconds
        self.result = Result(machine())

    def prepare(self) -> None:
        """Every contender's folder is there and does what it says."""
        self.lab.exec("n1", "mkdir", "-p", FOLDERS[BARE], FOLDERS[PAGES])
        self.lab.exec("n1", "sh", "-ec", _PAGES_DISK, "sh", "/srv/pages", FOLDERS[PAGES])
        if GLUSTER in self.contenders or GLUSTER_SYNC in self.contenders:
            gluster.start(self.lab)
        if SINGLE in self.contenders:
            self.lab.start("n1", "single")
            self.lab.promote("n1", mirror="single")
            self.lab.wait("n1", "single", role="ALONE", readiness="ready")
        if PAIR in self.contenders:
            for node in ("n1", "n2"):
                self.lab.start(node, "pair")
            self.lab.wait_pair("pair")

    def run(self, works: Sequence[str], rounds: int) -> Result:
        for contender in self._contenders(PGBENCH) if PGBENCH in works else ():
            self._say(f"{contender}: preparing PostgreSQL")
            self._work(contender, "prepare pgbench")
        for number in range(rounds):
            for work in works:
                if work != "create files" or number == 0:
                    self._round(number, work)
        return self.result

    def _round(self, number: int, work: str) -> None:
        for contender in self._contenders(work):
            answer = self._work(contender, work)
            self._say(f"round {number + 1}: {contender}: {work}: {answer['figure']:.0f} {answer['unit']}")
            self.result.units[work] = answer["unit"]
            self.result.figures.setdefault(contender, {}).setdefault(work, []).append(answer["figure"])

    def _contenders(self, work: str) -> list[str]:
        return [contender for contender in self.contenders if contender != PAGES or work.endswith("cached")]

    def _work(self, contender: str, work: str) -> dict[str, Any]:
        seconds = max(self.seconds, PGBENCH_SECONDS_MIN) if work == PGBENCH else self.seconds
        files = FILES_GLUSTER if contender in (GLUSTER, GLUSTER_SYNC) else FILES
        command = [sys.executable, "-m", "tests.bench.mirror_work", work, FOLDERS[contender]]
        done = self.lab.exec("n1", *command, f"--seconds={seconds:g}", f"--files={files}", check=False, timeout=600)
        if done.returncode:
            raise LabError(f"{contender}: {work}: {done.stderr.strip()}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def show(result: Result, console: Console) -> None:
    contenders = list(result.figures)
    table = Table("median", *contenders, "", title=result.machine, title_justify="left", box=None)
    for work, unit in result.units.items():
        medians = [result.median(contender, work) for contender in contenders]
        table.add_row(work, *("" if one is None else f"{one:,.0f}" for one in medians), unit)
    console.print(table)
    aims = Table("ratio", "", "", box=None)
    for what, outcome, enough in result.reached():
        aims.add_row(what, outcome, "" if enough else "missed")
    console.print(aims)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.mirror", description="Measure a mirror beside its peers.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement by fio; pgbench at least 8")
    parser.add_argument("--only", nargs="+", choices=WORKS, default=WORKS, metavar="WORK", help=", ".join(WORKS))
    parser.add_argument("--without", nargs="+", choices=FOLDERS, default=[], metavar="NAME", help=", ".join(FOLDERS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def main() -> None:
    """Entry of `python -m tests.bench.mirror`."""
    arguments = _arguments()
    contenders = [name for name in FOLDERS if name not in arguments.without]
    os.environ["PATH"] = PATH
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the lab is taken down then, too
    mirrors = [plain("single", ["/srv/single"], vips="[]"), plain("pair", ["/srv/pair"], port="5409", vips="[]")]
    try:
        with ExitStack() as stack:
            lab = MirrorLab(f"bench-{os.getpid()}", mirrors)
            lab.up(start=False)
            stack.callback(lab.down)
            benchmark = Benchmark(lab, contenders, arguments.seconds)
            benchmark.prepare()
            result = benchmark.run(arguments.only, arguments.rounds)
    except (LabError, subprocess.SubprocessError) as error:
        sys.exit(f"bench: {error}")
    if arguments.json:
        print(json.dumps(asdict(result)))
    else:
        show(result, Console())


if __name__ == "__main__":
    main()
