"""What a farm of three nodes does to its clients when nodes fail, stop and return, and what it costs meanwhile.

    sudo .venv/bin/python -m tests.bench.takeover [--runs N] [--json]

In a lab, with nginx on the nodes, and clients with an address each that ask for a small page again and again. An
impatient client gives a connection 50 ms and tries again, so that it sees an outage as it is; TCP would try again after
a second, and a patient client waits for that.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from lab import measure, services
from lab.measure import Measurement
from lab.network import Lab
from lab.processes import processor_s, status_field
from lab.services import SLOW_BYTES_PER_S
from lab.topology import FAR, LAN, VIPS
from tests.bench import telling
from tests.lab.nodes import NODES, farmctl, owners, status, wait_members

VIP = str(VIPS[0])
IMPATIENT = {"interval_ms": 25, "timeout_ms": 50, "count": 32}
PATIENT = {"interval_ms": 50, "timeout_ms": 3000, "answer_ms": 3000, "count": 32}
DOWNLOADS = 200
DOWNLOAD_S = 5.0
IDLE_S = 20.0
WEIGHTS = {"n1": 100, "n2": 250, "n3": 37}


@dataclass
class Figures:
    """What was measured; the fields of `--json`. Milliseconds are wall-clock."""

    machine: str
    power_off_gap_ms: list[float] = field(default_factory=list)
    """For each power-off the longest time that any of the clients had no answer."""
    power_off_others_failed: int = 0
    """Requests that failed although the client's node lived."""
    power_off_buckets_moved_between_survivors: int = 0
    planned_requests: int = 0
    planned_failed: int = 0
    planned_retried: int = 0
    """Requests whose SYN was sent again by TCP: it fell into the time in which a moving bucket is closed everywhere."""
    planned_broken: int = 0
    """Of the downloads that ran during each planned stop, and during each return."""
    planned_downloads: int = 0
    closed_everywhere_ms: list[float] = field(default_factory=list)
    """For each planned view: from the first node's closing of a bucket that moves to the last one's opening."""
    frozen: int = 0
    frozen_duplicates: int = 0
    frozen_answered: int = 0
    share_error_buckets: float = 0.0
    """The largest difference between a node's buckets and its exact share, with weights 100, 250 and 37."""
    resident_mb: float = 0.0
    """The largest of the three daemons."""
    idle_cpu_percent: float = 0.0
    """Of one processor, the busiest of the three daemons, over 20 s."""
    status_ms: list[float] = field(default_factory=list)


class Benchmark:
    """The scenes; each leaves three converged nodes."""

    def __init__(self, lab: Lab, runs: int) -> None:
        self.lab = lab
        self.runs = runs
        self.figures = Figures(telling.machine())

    def run(self) -> Figures:
        for scene in (self.idle, self.statuses, self.shares, self.moves, self.power_off, self.planned, self.freezes):
            print(f"{scene.__name__} ...", file=sys.stderr, flush=True)
            scene()
        return self.figures

    # -- what it costs -------------------------------------------------------------------------------------------------

    def idle(self) -> None:
        pids = [self.lab.farmd_pid(node) or 0 for node in NODES]
        before, start = [processor_s(pid) for pid in pids], time.monotonic()
        time.sleep(IDLE_S)
        took_s = time.monotonic() - start
        spent = [processor_s(pid) - earlier for pid, earlier in zip(pids, before, strict=True)]
        self.figures.idle_cpu_percent = round(100 * max(spent) / took_s, 2)
        resident_kb = [int(status_field(pid, "VmRSS").split()[0]) for pid in pids]
        self.figures.resident_mb = round(max(resident_kb) / 1024, 1)

    def statuses(self) -> None:
        for _ in range(20):
            start = time.monotonic()
            self.lab.exec("n1", *services.farmctl("status"))
            self.figures.status_ms.append(since_ms(start))

    # -- who has what --------------------------------------------------------------------------------------------------

    def shares(self) -> None:
        for node, weight in WEIGHTS.items():
            farmctl(self.lab, "n1", "weight", node, str(weight))
        table = owners(self.lab, "n1")
        exact = {node: 1024 * weight / sum(WEIGHTS.values()) for node, weight in WEIGHTS.items()}
        worst = max(abs(table.count(node) - share) for node, share in exact.items())
        self.figures.share_error_buckets = round(worst, 2)
        for node in NODES:
            farmctl(self.lab, "n1", "weight", node, "100")

    def moves(self) -> None:
        """Planned changes one after the other, with clients, so that the nodes are not idle."""
        with impatient(self.lab):
            for run in range(self.runs):
                victim = NODES[run % len(NODES)]
                for verb in ("drain", "undrain"):
                    epoch = farmctl(self.lab, "n1", verb, victim)["epoch"]
                    self.figures.closed_everywhere_ms += closed_everywhere(self.lab, epoch)

    # -- what clients see ----------------------------------------------------------------------------------------------

    def power_off(self) -> None:
        for run in range(self.runs):
            victim = NODES[run % len(NODES)]
            survivors = [node for node in NODES if node != victim]
            before = owners(self.lab, survivors[0])
            with impatient(self.lab) as clients:
                self.lab.kill(victim)
                self.lab.wait_converged(*survivors)
                time.sleep(0.5)  # what follows the takeover belongs to what clients see
            self._count_gap(clients, victim)
            after = owners(self.lab, survivors[0])
            moved = [old for old, new in zip(before, after, strict=True) if old != new]
            self.figures.power_off_buckets_moved_between_survivors += len(moved) - moved.count(victim)
            self.lab.start(victim)
            self.lab.wait_converged(*NODES)

    def _count_gap(self, clients: list[Measurement], victim: str) -> None:
        each = [one for seen in clients for one in seen.result()["per_client"].values()]
        self.figures.power_off_gap_ms.append(round(max(one["gap_ms"] for one in each), 1))
        self.figures.power_off_others_failed += sum(one["failed"] for one in each if victim not in one["nodes"])

    def planned(self) -> None:
        for node in ("n1", "n2"):  # the coordinator, and another
            self._planned_change(self.lab.stop, node, [other for other in NODES if other != node])
            self._planned_change(self.lab.start, node, list(NODES))

    def _planned_change(self, change: Callable[[str], None], node: str, then: list[str]) -> None:
        figures = self.figures
        with patient(self.lab) as clients, downloading(self.lab) as files:
            change(node)
            self.lab.wait_converged(*then)
            results = [one.finish(timeout_s=60) for one in files]
            time.sleep(PATIENT["timeout_ms"] / 1000)  # what hangs now has failed by then
        figures.planned_downloads += sum(result["downloads"] for result in results)
        figures.planned_broken += sum(result["downloads"] - result["complete"] for result in results)
        for seen in clients:
            figures.planned_requests += seen.result()["requests"]
            figures.planned_failed += seen.result()["failed"]
        figures.planned_retried += sum(retried(self.lab, place) for place in (LAN, FAR))

    def freezes(self) -> None:
        figures = self.figures
        for run in range(min(self.runs, 10)):
            victim = NODES[run % len(NODES)]
            with ExitStack() as ending:
                watches = [ending.enter_context(measure.duplicates(self.lab, place)) for place in (LAN, FAR)]
                ending.enter_context(impatient(self.lab))
                self.lab.freeze(victim)
                wait_members(self.lab, *(node for node in NODES if node != victim))
                self.lab.thaw(victim)
                wait_members(self.lab, *NODES)
            figures.frozen += 1
            figures.frozen_duplicates += sum(watch.result()["duplicates"] for watch in watches)
            figures.frozen_answered += sum(watch.result()["answered"] for watch in watches)


def closed_everywhere(lab: Lab, epoch: str) -> list[float]:
    """Milliseconds for this view; nothing if it moved nothing."""
    moves = [move for node in NODES for move in status(lab, node)["moves"] if move["epoch"] == epoch]
    closed = [move["closed_ns"] for move in moves if move["closed"]]
    opened = [move["opened_ns"] for move in moves if move["opened"]]
    return [round((max(opened) - min(closed)) / 1e6, 3)] if closed and opened else []


@contextmanager
def impatient(lab: Lab) -> Iterator[list[Measurement]]:
    with ExitStack() as ending:
        yield [ending.enter_context(measure.requests(lab, place, VIP, **IMPATIENT)) for place in (LAN, FAR)]


@contextmanager
def patient(lab: Lab) -> Iterator[list[Measurement]]:
    options: dict[str, Any] = PATIENT | {"log": LOG}
    with ExitStack() as ending:
        yield [ending.enter_context(measure.requests(lab, place, VIP, **options)) for place in (LAN, FAR)]


@contextmanager
def downloading(lab: Lab) -> Iterator[list[Measurement]]:
    options = {"downloads": DOWNLOADS // 2, "bytes": round(DOWNLOAD_S * SLOW_BYTES_PER_S)}
    with ExitStack() as ending:
        yield [ending.enter_context(measure.downloads(lab, place, VIP, **options)) for place in (LAN, FAR)]


LOG = "/run/requests"


def retried(lab: Lab, place: str) -> int:
    """Requests of the last patient clients there that were answered after TCP's second try."""
    lines = lab.machine(place).path(LOG).read_text().splitlines()
    each = [json.loads(line) for line in lines]
    return sum(1 for one in each if one["error"] is None and one["end"] - one["start"] > 0.9)


def since_ms(start: float) -> float:
    return round((time.monotonic() - start) * 1000, 1)


def table(figures: Figures) -> list[telling.Row]:
    frozen = f"{figures.frozen_duplicates} of {figures.frozen_answered}"
    return [
        ("power off: gap of the worst client, ms", telling.spread(figures.power_off_gap_ms), "median 500, worst 800"),
        ("  requests failed of other nodes' clients", str(figures.power_off_others_failed), "0"),
        ("  buckets moved between survivors", str(figures.power_off_buckets_moved_between_survivors), "0"),
        ("planned stop and return: failed requests", f"{figures.planned_failed} of {figures.planned_requests}", "0"),
        ("  of them answered at TCP's second try", str(figures.planned_retried), ""),
        ("  broken downloads", f"{figures.planned_broken} of {figures.planned_downloads}", "0"),
        ("moving bucket closed everywhere, ms", telling.spread(figures.closed_everywhere_ms), "worst 5"),
        (f"{figures.frozen} frozen daemons: duplicate answers", frozen, "0"),
        ("shares: buckets off the exact weight", str(figures.share_error_buckets), "1"),
        ("farmd: resident memory, MB", str(figures.resident_mb), "45"),
        ("farmd: idle, % of a processor", str(figures.idle_cpu_percent), "2"),
        ("farmctl status, ms", telling.spread(figures.status_ms), "worst 300"),
    ]  # fmt: skip


def main() -> None:
    parser = telling.options("What clients see of a farm's failures and changes.")
    parser.add_argument("--runs", type=int, default=20, help="power-offs, and planned moves")
    options = parser.parse_args()
    with Lab(f"bench-{os.getpid()}") as lab:
        figures = Benchmark(lab, options.runs).run()
    telling.tell(asdict(figures), table(figures), as_json=options.json)


if __name__ == "__main__":
    main()
