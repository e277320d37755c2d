"""How large a mirror is with many files, and whether mounting takes longer for them.

    sudo .venv/bin/python -m tests.bench.mirror_size [--files 100000] [--only memory|mount] [--json]

Memory: two nodes in namespaces, both with a health page; all files are made in the mirror, then looked up on the node
that serves (`find -ls`). Of each process the resident set size, and in brackets the proportional one, where a page that
several processes share counts for each by its part (/proc/PID/smaps_rollup). Since both nodes share pages of one
machine, the sum of the latter is less than a node of its own needs: what counts is the last column, every page that
mirrord's processes have, once (/proc/PID/pagemap). It is measured once more when the kernel was told to forget what it
has looked up. Mount: from the order to serve until the first name is found, with 100 files in the directory and with
all of them.
"""

from __future__ import annotations

import argparse
import array
import json
import mmap
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.mirror import MirrorLab, plain
from lab.processes import processor_s
from lab.waiting import until
from mirrord.orders import Serve
from tests.bench.telling import machine
from tests.mirror.volumes import pair

DATA = "/srv/data"
IN_A_FOLDER = 1000
RESIDENT_MB_MAX = 80
IDLE_S = 1.0
SERVICE = """
[[service]]
name = "idle"
start = "start-stop-daemon --start --background --make-pidfile --pidfile /run/idle.pid --exec /bin/sleep -- infinity"
stop = "start-stop-daemon --stop --pidfile /run/idle.pid"
"""
MOUNTS = 5
FEW = 100
HEALTH, TOGETHER = "health", "mirrord"
_NAMES = {
    "mirrord.program": "daemon",
    "mirrord.volume": "volume",
    "farmd.supervision": "attendant",
    "farm-health": HEALTH,
}
_PAGE = array.array("Q")
_PRESENT, _FRAME = 1 << 63, (1 << 55) - 1


@dataclass
class Result:
    """The fields of `--json`."""

    machine: str
    files: int
    memory_mb: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    """When and on which node -> process -> RSS and PSS; TOGETHER: all of mirrord's, each page once."""
    mount_ms: dict[int, list[float]] = field(default_factory=dict)
    """Files -> each mount's time."""


def memory_of(pid: int) -> tuple[float, float]:
    """RSS and PSS of a process, in MB."""
    fields = dict(line.split()[:2] for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Rss:"]) / 1024, int(fields["Pss:"]) / 1024


def frames_of(pid: int) -> set[int]:
    """The machine's page frames that a process has mapped (Documentation/admin-guide/mm/pagemap.rst)."""
    found: set[int] = set()
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end = (int(place, 16) // mmap.PAGESIZE for place in line.split()[0].split("-"))
            if "[vsyscall]" in line:
                continue
            pages = array.array("Q", os.pread(pagemap.fileno(), (end - start) * _PAGE.itemsize, start * _PAGE.itemsize))
            found.update(page & _FRAME for page in pages if page & _PRESENT)
    return found - {0}


def memory(lab: MirrorLab, node: str) -> dict[str, tuple[float, float]]:
    """Of each of a node's processes, by what it is."""
    found, frames = {}, set[int]()
    for pid in lab.pids(node):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        name = next((name for mark, name in _NAMES.items() if mark in command), None)
        if name is not None:
            found[name] = memory_of(pid)
            frames |= frames_of(pid) if name != HEALTH else set()
    together = len(frames) * mmap.PAGESIZE / (1 << 20)
    return {**found, TOGETHER: (together, together)}


def wait_idle(volumes: list[int]) -> None:
    """What the kernel forgets, it tells over some time, and the peer is told in turn; all that costs processor time."""

    def is_idle() -> bool:
        before = sum(map(processor_s, volumes))
        time.sleep(IDLE_S)  # the interval of this measurement
        return sum(map(processor_s, volumes)) - before < IDLE_S / 20

    until(is_idle, "the volumes to have forgotten", 60)


def measure_memory(result: Result, say: Callable[[str], None]) -> None:
    with MirrorLab("size", [plain() + SERVICE]) as lab:
        for node in ("n1", "n2"):
            lab.start_health(node)
        serving = lab.wait_pair()
        following = "n2" if serving == "n1" else "n1"

        def look(when: str) -> None:
            result.memory_mb[f"{when}, serving"] = memory(lab, serving)
            result.memory_mb[f"{when}, following"] = memory(lab, following)

        look("empty")
        say(f"making {result.files} files")
        script = f"""import os
for number in range({result.files}):
    folder = f"{DATA}/{{number // {IN_A_FOLDER}}}"
    if number % {IN_A_FOLDER} == 0:
        os.mkdir(folder)
    os.close(os.open(f"{{folder}}/file-{{number}}", os.O_CREAT | os.O_WRONLY, 0o644))
"""
        lab.exec(serving, "python3", "-c", script, timeout=1800)
        look("made")
        began = time.monotonic()
        lab.exec(serving, "sh", "-c", f"find {DATA} -ls > /dev/null", timeout=600)
        say(f"find -ls took {time.monotonic() - began:.1f} s")
        look("looked up")
        lab.exec(serving, "sh", "-c", "echo 2 > /proc/sys/vm/drop_caches")
        wait_idle(lab.volume_pids(serving) + lab.volume_pids(following))
        look("forgotten")
        say("changing places")
        lab.farmctl(serving, "swap")
        lab.wait(following, role="PRIM", readiness="ready")
        serving, following = following, serving
        lab.exec(serving, "sh", "-c", f"find {DATA} -ls > /dev/null", timeout=600)
        look("after a swap, looked up")


def measure_mounts(result: Result, say: Callable[[str], None]) -> None:
    for count in (FEW, result.files):
        say(f"mounting over {count} files")
        times = result.mount_ms[count] = []
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            data, state = Path(folder, "node1/data"), Path(folder, "node1/state")
            state.mkdir(parents=True)
            for number in range(count):
                inner = data / str(number // IN_A_FOLDER)
                if number % IN_A_FOLDER == 0:
                    inner.mkdir(parents=True)
                os.mknod(inner / f"file-{number}")
            for _ in range(MOUNTS):
                with pair(Path(folder)) as both:
                    began = time.monotonic()
                    both.first.obey(Serve())
                    os.stat(data / "0/file-7")
                    times.append((time.monotonic() - began) * 1000)


def show(result: Result, console: Console) -> None:
    console.print(f"{result.machine}; {result.files} files")
    if result.memory_mb:
        table = Table("MB", *_NAMES.values(), "mirrord, each page once")
        for when, processes in result.memory_mb.items():
            table.add_row(when, *map(_cell, map(processes.get, _NAMES.values())), f"{processes[TOGETHER][0]:.1f}")
        console.print(table)
        most = max(processes[TOGETHER][0] for processes in result.memory_mb.values())
        console.print(f"mirrord has at most {most:.1f} MB, wanted {RESIDENT_MB_MAX}")
    for count, times in result.mount_ms.items():
        console.print(f"mount over {count} files: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms")


def _cell(sizes: tuple[float, float] | None) -> str:
    return f"{sizes[0]:.1f} ({sizes[1]:.1f})" if sizes else "-"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.mirror_size", description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--only", choices=["memory", "mount"])
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    console = Console(stderr=True)
    result = Result(machine(), wanted.files)
    if wanted.only != "memory":
        measure_mounts(result, console.print)
    if wanted.only != "mount":
        measure_memory(result, console.print)
    if wanted.json:
        print(json.dumps(asdict(result)))
    else:
        show(result, Console())


if __name__ == "__main__":
    main()
