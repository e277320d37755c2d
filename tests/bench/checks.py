"""How fast a farm of three nodes reacts to a broken application.

    sudo .venv/bin/python -m tests.bench.checks [--runs N] [--json]

In a lab whose nodes run nginx as a service of farmd, with a check of its page. nginx is killed, answers with errors, or
hangs. The reaction is the time from the probe's report that turns the verdict until the last bucket is open elsewhere;
the outage also has the time until the check notices, which is the configuration's: two tries, 0.2 s apart, of at most
0.5 s each.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from lab.network import Lab
from lab.services import NGINX_SERVICE, PAGE_CHECK, farm_config
from lab.topology import Topology
from lab.waiting import until
from tests.bench import telling
from tests.lab.nodes import NODES, farmctl, status
from tests.lab.supervision import break_page, mend, signal_nginx

KILLED, ERRORS, HUNG = "killed", "errors", "hung"
COMPLAINTS = ("service nginx does not run", "check page fails")


@dataclass
class Figures:
    """What was measured; the fields of `--json`. Milliseconds are wall-clock."""

    machine: str
    reaction_ms: dict[str, list[float]] = field(default_factory=dict)
    """For each kind of breakage: from the report to the last bucket that opened elsewhere."""
    outage_ms: dict[str, list[float]] = field(default_factory=dict)
    """From the breakage itself."""


class Benchmark:
    """Breaks one node after the other."""

    def __init__(self, lab: Lab, runs: int) -> None:
        self.lab = lab
        self.runs = runs
        self.figures = Figures(telling.machine())

    def run(self) -> Figures:
        breakages: dict[str, Callable[[str], None]] = {
            KILLED: lambda node: signal_nginx(self.lab, node, "KILL"),
            ERRORS: lambda node: break_page(self.lab, node),
            HUNG: lambda node: signal_nginx(self.lab, node, "STOP"),
        }
        for kind, breakage in breakages.items():
            print(f"{kind} ...", file=sys.stderr, flush=True)
            for run in range(self.runs):
                self._measure(kind, NODES[run % len(NODES)], breakage)
        return self.figures

    def _measure(self, kind: str, node: str, breakage: Callable[[str], None]) -> None:
        epoch, broken_ns = number(status(self.lab, node)["epoch"]), time.monotonic_ns()
        breakage(node)
        reported_ns = self._reported_ns(node, broken_ns)
        until(lambda: self._moved_ns(node, epoch) > 0, f"the buckets of {node} to move", timeout_s=20)
        moved_ns = self._moved_ns(node, epoch)
        self.figures.reaction_ms.setdefault(kind, []).append(round((moved_ns - reported_ns) / 1e6, 2))
        self.figures.outage_ms.setdefault(kind, []).append(round((moved_ns - broken_ns) / 1e6, 1))
        mend(self.lab)
        farmctl(self.lab, node, "start", "nginx")  # forgets the restart
        self.lab.wait_converged(*NODES)

    def _reported_ns(self, node: str, since_ns: int) -> int:
        """When the report was taken, in monotonic time; of several the first."""
        until(lambda: self._complaints_ns(node, since_ns) != [], f"{node} to notice", timeout_s=20)
        return self._complaints_ns(node, since_ns)[0]

    def _complaints_ns(self, node: str, since_ns: int) -> list[int]:
        offset_s = time.time() - time.monotonic()
        events = farmctl(self.lab, node, "events")["events"]
        times = [int((event["time"] - offset_s) * 1e9) for event in events if event["text"].startswith(COMPLAINTS)]
        return [at_ns for at_ns in times if at_ns > since_ns]

    def _moved_ns(self, victim: str, after: int) -> int:
        """When the last of the victim's buckets was open elsewhere, in the first view that took them; 0 before that."""
        closed = [number(move["epoch"]) for move in status(self.lab, victim)["moves"] if move["closed"]]
        first = min((epoch for epoch in closed if epoch > after), default=0)
        others = [status(self.lab, node)["moves"] for node in NODES if node != victim]
        opened = [[move["opened_ns"] for move in moves if number(move["epoch"]) == first] for moves in others]
        return max(map(max, opened)) if all(opened) else 0


def number(epoch: str) -> int:
    return int(epoch.partition(".")[0])


def table(figures: Figures) -> list[telling.Row]:
    rows = []
    for kind, reactions in figures.reaction_ms.items():
        rows.append((f"nginx {kind}: from the report to moved buckets, ms", telling.spread(reactions), "worst 50"))
        rows.append(("  from the breakage, ms", telling.spread(figures.outage_ms[kind]), ""))
    return rows


def main() -> None:
    parser = telling.options("How fast a farm reacts to a broken application.")
    parser.add_argument("--runs", type=int, default=15, help="of each kind of breakage")
    options = parser.parse_args()
    config = farm_config(Topology(len(NODES))) + NGINX_SERVICE + PAGE_CHECK
    with Lab(f"bench-{os.getpid()}", config=config) as lab:
        figures = Benchmark(lab, options.runs).run()
    telling.tell(asdict(figures), table(figures), as_json=options.json)


if __name__ == "__main__":
    main()
