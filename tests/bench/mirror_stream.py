"""Replicated writes, and those of the same volume without a peer: `python -m tests.bench.mirror_stream`.

Two volumes over loopback, on one machine and one disk. Each figure is the median of several rounds, in which the kinds
of writing and the two states take turns, so that whatever else the machine does meets them all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mirrord.orders import Cut, GoAlone
from tests.bench.telling import machine
from tests.mirror.volumes import Pair, pair

WRITER = """
import os, sys, time
path, size, seconds, sync = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4] == "sync"
fd, content, places, count = os.open(path, os.O_RDWR | os.O_CREAT), os.urandom(size), (64 << 20) // size, 0
end = time.monotonic() + seconds
while time.monotonic() < end:
    os.pwrite(fd, content, count % places * size)
    if sync:
        os.fsync(fd)
    count += 1
print(count / seconds)
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to write."""

    name: str
    size: int
    writers: int = 1
    sync: bool = False

    def rate(self, folder: Path, seconds: float) -> float:
        """Writes a second of all writers together."""
        arguments = [str(self.size), str(seconds), "sync" if self.sync else ""]
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(folder / f"{self.name}-{number}"), *arguments],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(self.writers)
        ]
        return sum(float(writer.communicate()[0]) for writer in writers)


KINDS = (
    Kind("4 KiB, one writer", 4096),
    Kind("4 KiB, four writers", 4096, 4),
    Kind("1 MiB, one writer", 1 << 20),
    Kind("4 KiB and fsync, one writer", 4096, 1, True),
    Kind("4 KiB and fsync, four writers", 4096, 4, True),
)


def measure(both: Pair, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Kind -> alone and paired -> writes a second."""
    rates: dict[str, dict[str, list[float]]] = {kind.name: {"alone": [], "paired": []} for kind in KINDS}
    both.alone()
    for number in range(rounds):
        for state in ("alone", "paired"):
            if state == "paired":
                both.link(number + 1)
            for kind in KINDS:
                rates[kind.name][state].append(kind.rate(both.first.data, seconds))
            if state == "paired":
                both.second.obey(Cut())
                both.first.obey(GoAlone())
    return {
        name: {state: statistics.median(values) for state, values in states.items()} for name, states in rates.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser("tests.bench.mirror_stream", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement")
    parser.add_argument("--folder", default="/var/tmp", help="where the two nodes' directories are made")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, pair(Path(folder)) as both:
        results = measure(both, arguments.rounds, arguments.seconds)
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    print(f"{machine()}; writes a second, median of {arguments.rounds}")
    print(f"{'':30}{'alone':>10}{'paired':>10}{'ratio':>8}")
    for name, rates in results.items():
        print(f"{name:30}{rates['alone']:10.0f}{rates['paired']:10.0f}{rates['paired'] / rates['alone']:8.2f}")
    one, four = (results[kind.name]["paired"] for kind in KINDS[:2])
    print(f"four writers / one, paired: {four / one:.2f}")


if __name__ == "__main__":
    main()
