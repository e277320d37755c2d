"""What the health page can take, how soon it shows a change, and what being watched costs farmd.

    sudo .venv/bin/python -m tests.bench.health [--runs N] [--json]

In a lab of three nodes with nginx and a check of its page. The page's process has one core to itself, wrk asks it over
50 kept connections from another. A change is a drain order (from the order on) or a failing check (from the moment that
farmd takes the probe's report), and it is visible when an answer with the new status has arrived.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from farmd.kit import control
from lab.network import FARM_HEALTH, Lab
from lab.page import Page
from lab.processes import processor_s, status_field
from lab.services import HEALTH_PORT, HEALTH_SETTINGS, farm_config
from lab.topology import Topology
from lab.waiting import until
from tests.bench import telling
from tests.lab.nodes import NODES, farmctl, status
from tests.lab.supervision import break_page, mend_page

NODE = "n2"
CONNECTIONS = 50
LOAD_S = 10
IDLE_S = 20.0
CHECK = """
[[check]]
name = "page"
http = "http://127.0.0.1/"
interval_s = 0.1
timeout_s = 1.0
fall = 1
rise = 1
on_failure = "release"
"""


@dataclass
class Figures:
    """What was measured; the fields of `--json`."""

    machine: str
    answers_per_s: float = 0.0
    answer_ms: dict[str, float] = field(default_factory=dict)
    """50 %, 90 % and 99 % of the answers came within."""
    not_200: int = 0
    drain_ms: list[float] = field(default_factory=list)
    """From each drain order until the page says so."""
    check_ms: list[float] = field(default_factory=list)
    """From each report of the failing check."""
    idle_percent: float = 0.0
    """farmd alone, of one processor."""
    watched_percent: float = 0.0
    """farmd with a health page, without metrics."""
    scraped_percent: float = 0.0
    """farmd with a health page that has metrics."""
    page_percent: float = 0.0
    """farm-health, which nobody asks."""
    page_mb: float = 0.0


class Benchmark:
    """The scenes, on one node of three."""

    def __init__(self, lab: Lab, runs: int) -> None:
        self.lab = lab
        self.runs = runs
        self.figures = Figures(telling.machine())
        self.socket = lab.machine(NODE).path("/run/farmd/web.sock")

    def run(self) -> Figures:
        for scene in (self.cost, self.load, self.drains, self.failures):
            print(f"{scene.__name__} ...", file=sys.stderr, flush=True)
            scene()
        return self.figures

    def cost(self) -> None:
        figures, daemon = self.figures, self.lab.farmd_pid(NODE) or 0
        figures.idle_percent = self._percent(daemon)[0]
        self.lab.start_health(NODE, f"port = {HEALTH_PORT}\n")
        figures.watched_percent, figures.page_percent = self._percent(daemon, self._page_pid())
        figures.page_mb = round(int(status_field(self._page_pid(), "VmRSS").split()[0]) / 1024, 1)
        self._end_page()
        self.lab.start_health(NODE, HEALTH_SETTINGS)
        figures.scraped_percent = self._percent(daemon)[0]

    def load(self) -> None:
        first, second = sorted(os.sched_getaffinity(0))[:2]
        os.sched_setaffinity(self._page_pid(), {first})
        wrk = ["wrk", "--threads=1", f"--connections={CONNECTIONS}", f"--duration={LOAD_S}s", "--latency"]
        url = f"http://127.0.0.1:{HEALTH_PORT}/ready"
        said = self.lab.exec(NODE, "taskset", "--cpu-list", str(second), *wrk, url).stdout
        os.sched_setaffinity(self._page_pid(), os.sched_getaffinity(0))
        self.figures.answers_per_s = float(_found(r"Requests/sec:\s+([\d.]+)", said))
        self.figures.answer_ms = {percent: _ms(_found(rf"{percent}%\s+(\S+)", said)) for percent in ("50", "90", "99")}
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        self.figures.not_200 = int(bad[1]) if bad else 0

    def drains(self) -> None:
        def order() -> float:
            begin = time.monotonic()
            control.call(self.socket, "drain", 5.0, node=NODE)
            return begin

        self._visible(self.figures.drain_ms, 404, order, lambda: farmctl(self.lab, "n1", "undrain", NODE))

    def failures(self) -> None:
        self._visible(self.figures.check_ms, 503, self._break, lambda: mend_page(self.lab, NODE))

    def _break(self) -> float:
        """Breaks nginx's page; when farmd took the report of it, in monotonic time."""
        begin_s = time.time()
        break_page(self.lab, NODE)

        def reports() -> list[float]:
            events = control.call(self.socket, "events", 5.0)["events"]
            times_s = [event["time"] for event in events if event["text"].startswith("check page fails")]
            return [at_s for at_s in times_s if at_s > begin_s]

        until(lambda: reports() != [], "the check to fail")
        return reports()[-1] - time.time() + time.monotonic()

    def _visible(
        self, taken_ms: list[float], wanted: int, change: Callable[[], float], undo: Callable[[], object]
    ) -> None:
        with Page(self.lab, NODE) as page:
            for _ in range(self.runs):
                before_s = page.wait(200, page.seen[-1][0])
                begin_s = change()
                seen_s = page.wait(wanted, before_s)
                taken_ms.append(round((seen_s - begin_s) * 1000, 2))
                undo()
                page.wait(200, seen_s)
                until(lambda: status(self.lab, NODE)["converged"], "the farm to agree")

    def _percent(self, *pids: int) -> tuple[float, ...]:
        before, start = [processor_s(pid) for pid in pids], time.monotonic()
        time.sleep(IDLE_S)
        took_s = time.monotonic() - start
        return tuple(round(100 * (processor_s(pid) - then) / took_s, 2) for pid, then in zip(pids, before, strict=True))

    def _page_pid(self) -> int:
        process = self.lab.machine(NODE).service(FARM_HEALTH)
        assert process is not None
        return process.pid

    def _end_page(self) -> None:
        os.kill(self._page_pid(), 15)
        until(lambda: self.lab.machine(NODE).service(FARM_HEALTH) is None, "farm-health to end")


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[1]


def _ms(text: str) -> float:
    """wrk writes 312.00us, 4.12ms or 1.02s."""
    number, unit = _found(r"([\d.]+)", text), _found(r"([a-z]+)", text)
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def table(figures: Figures) -> list[telling.Row]:
    answers = ", ".join(f"{percent} % {ms:.3g}" for percent, ms in figures.answer_ms.items())
    return [
        (f"/ready, {CONNECTIONS} connections, one core: answers a second", f"{figures.answers_per_s:.0f}", "3000"),
        ("  within ms", answers, "99 % 10"),
        ("  not 200", str(figures.not_200), "0"),
        ("drain order until the page says so, ms", telling.spread(figures.drain_ms), "worst 50"),
        ("failing check until the page says so, ms", telling.spread(figures.check_ms), "worst 50"),
        ("farmd: idle, % of a processor", str(figures.idle_percent), ""),
        ("  with a health page", str(figures.watched_percent), "2"),
        ("  with a health page that has metrics", str(figures.scraped_percent), ""),
        ("farm-health: idle, % of a processor", str(figures.page_percent), ""),
        ("farm-health: resident memory, MB", str(figures.page_mb), ""),
    ]


def main() -> None:
    parser = telling.options("What the health page can take, and how soon it shows a change.")
    parser.add_argument("--runs", type=int, default=40, help="of each kind of change")
    options = parser.parse_args()
    with Lab(f"bench-{os.getpid()}", config=farm_config(Topology(len(NODES))) + CHECK) as lab:
        figures = Benchmark(lab, options.runs).run()
    telling.tell(asdict(figures), table(figures), as_json=options.json)


if __name__ == "__main__":
    main()
