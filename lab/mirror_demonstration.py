"""The demonstration of a mirror: PostgreSQL on two nodes loses one of them under load, and takes it back.

Five scenes. Clients transfer money through the virtual address all the time and remember what was committed; pgbench
runs beside them. Exit status 1 if a committed transaction was lost, or the mirror misbehaved otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any, Self

from rich.console import Console
from rich.table import Table

from lab import machine, mirror_bank, mirror_postgresql
from lab.errors import LabError
from lab.mirror import MirrorLab, example
from lab.mirror_bank import Bank
from lab.mirror_postgresql import ADDRESS
from lab.topology import LAN

CALM_S = 3.0
AFTERWARDS_S = 1.0
ZONE_BYTES = 4 << 20
PGBENCH_CLIENTS = 4
TAKEOVER_S_MAX = 6.0
"""Suspicion (2 s), PostgreSQL's recovery from a crash, and room for a busy machine."""
SWAP_S_MAX = 5.0
"""PostgreSQL's shutdown and start, and room for a busy machine."""


@dataclass
class Outcome:
    """What was measured; the fields of `--json`."""

    committed: int = 0
    """Transfers that the clients were told are committed."""
    lost: int = 0
    """Those of them that the database does not have at the end."""
    takeover_s: float = 0.0
    """From the power-off of the serving node to the first transfer that the other one committed."""
    takeover_started_s: float = 0.0
    """Of it, from the power-off until n2 started the application: the suspicion, and what is mirrord's own."""
    takeover_application_s: float = 0.0
    """Of it, the application's own start: PostgreSQL's recovery from a crash."""
    resync_bytes: int = 0
    """What was sent to the node that came back, to bring it up to date."""
    dirty_bytes: int = 0
    """The size of the zones in which something had changed meanwhile; never more than this is looked at."""
    swap_s: float = 0.0
    """The longest time without a committed transfer while the nodes changed roles."""
    swap_given_s: float = 0.0
    """From the order until n2 had ended the application and handed over."""
    swap_started_s: float = 0.0
    """From there until n1 started the application: mirrord's own."""
    swap_application_s: float = 0.0
    """The application's own start on n1."""
    wrong: list[str] | None = None
    """What else was not as it should be."""

    def faults(self) -> list[str]:
        """What is wrong with it, in sentences."""
        found = list(self.wrong or [])
        if self.lost:
            found.append(f"{self.lost} of {self.committed} committed transfers are lost")
        if self.takeover_s > TAKEOVER_S_MAX:
            found.append(f"the takeover took {self.takeover_s:.1f} s")
        if self.swap_s > SWAP_S_MAX:
            found.append(f"the swap took {self.swap_s:.1f} s")
        return found


class Demonstration:
    """The scenes, in order."""

    def __init__(self, lab: MirrorLab, console: Console) -> None:
        self.lab = lab
        self.console = console
        self.outcome = Outcome(wrong=[])

    def run(self) -> Outcome:
        self._first_start()
        with Bank(self.lab, ADDRESS) as bank, Pgbench(self.lab):
            bank.first_after(0.0)
            self._calm(bank)
            self._power_off(bank)
            self._failback(bank)
            self._swap(bank)
        self._count(bank)
        return self.outcome

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False)

    def _first_start(self) -> None:
        self.say("\n[bold]1. A database on n1 becomes a mirror[/]; n2's folder is empty")
        mirror_postgresql.make(self.lab, "n1")
        start = time.monotonic()
        self.lab.start_mirrors(data_on="n1")
        self.say(f"   `farmctl promote` said that n1 has the data; in sync after {time.monotonic() - start:.1f} s.")

    def _calm(self, bank: Bank) -> None:
        self.say(f"\n[bold]2. Clients transfer money through {ADDRESS}[/], beside pgbench")
        before = len(bank.committed)
        time.sleep(CALM_S)
        figures = self.lab.status("n1").get("figures", {})
        self.say(f"   {(len(bank.committed) - before) / CALM_S:.0f} transfers a second, "
                 f"{figures.get('writes_s', 0):.0f} replicated changes a second.")  # fmt: skip

    def _power_off(self, bank: Bank) -> None:
        self.say("\n[bold]3. n1 loses its power[/], in the middle of everything")
        off, off_at = time.monotonic(), time.time()
        self.lab.kill("n1")
        self.outcome.takeover_s = round(bank.first_after(off + 0.2) - off, 2)
        started, runs = self._start_of_application("n2", off_at)
        self.outcome.takeover_started_s = round(started - off_at, 2)
        self.outcome.takeover_application_s = round(runs - started, 2)
        time.sleep(CALM_S)
        self.say(f"   n2 committed its first transfer after {self.outcome.takeover_s:.2f} s: "
                 f"{started - off_at:.2f} s until it started PostgreSQL, 2 s of them suspicion, "
                 f"and {runs - started:.2f} s for that.")  # fmt: skip

    def _failback(self, bank: Bank) -> None:
        self.say("\n[bold]4. n1 comes back[/] and is brought up to date while the clients go on")
        self.outcome.dirty_bytes = self.lab.status("n2")["figures"]["zones"] * ZONE_BYTES
        start = time.monotonic()
        self.lab.start("n1")
        sent = Sent(self.lab, "n2")
        with sent:
            self.lab.wait_pair()
        self.outcome.resync_bytes = sent.bytes
        gap_s = bank.longest_gap_s(start, time.monotonic())
        self.say(f"   In sync after {time.monotonic() - start:.1f} s: {sent.bytes / 1e6:.1f} MB were sent, of zones of "
                 f"{self.outcome.dirty_bytes / 1e6:.1f} MB. The clients' longest wait was {gap_s:.2f} s.")  # fmt: skip

    def _swap(self, bank: Bank) -> None:
        self.say("\n[bold]5. The nodes change roles[/], the planned way (farmctl swap)")
        start, start_at = time.monotonic(), time.time()
        self.lab.farmctl("n2", "swap")
        self.lab.wait("n1", role="PRIM", readiness="ready")
        bank.first_after(time.monotonic())
        self.lab.wait_pair()
        self.outcome.swap_s = round(bank.longest_gap_s(start, time.monotonic()), 2)
        given = self._told("n2", "PRIM -> SECOND", start_at)
        started, runs = self._start_of_application("n1", start_at)
        self.outcome.swap_given_s = round(given - start_at, 2)
        self.outcome.swap_started_s = round(started - given, 2)
        self.outcome.swap_application_s = round(runs - started, 2)
        time.sleep(AFTERWARDS_S)
        self.say(f"   n1 serves again; the clients' longest wait was {self.outcome.swap_s:.2f} s: PostgreSQL's end and "
                 f"the hand-over {given - start_at:.2f} s, {started - given:.2f} s until n1 started it, "
                 f"{runs - started:.2f} s for that.")  # fmt: skip

    def _start_of_application(self, node: str, after_s: float) -> tuple[float, float]:
        """When a node last started it, and when it ran (Unix time)."""
        return self._told(node, "postgresql is started", after_s), self._told(node, "postgresql runs", after_s)

    def _told(self, node: str, text: str, after_s: float) -> float:
        """When a node told of this first after some time; LabError if it never did."""
        for event in reversed(self.lab.status(node)["events"]):
            if text in event["text"] and event["time"] >= after_s:
                return float(event["time"])
        raise LabError(f"{node} does not tell: {text}")

    def _count(self, bank: Bank) -> None:
        self.outcome.committed = len(bank.committed)
        self.outcome.lost = len(bank.lost())
        assert self.outcome.wrong is not None
        self.outcome.wrong += mirror_bank.faults(self.lab, ADDRESS)
        found = self.lab.farmctl("n1", "verify")
        if found.get("differing"):
            self.outcome.wrong.append(f"the nodes differ in {', '.join(found['differing'][:3])}")


class Pgbench:
    """pgbench in the client place, again each time that it loses its server."""

    def __init__(self, lab: MirrorLab) -> None:
        self.lab = lab
        self._stopped = threading.Event()
        self._running: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._running:
            self._running.terminate()
        self._thread.join()

    def _run(self) -> None:
        where = f"host={ADDRESS} {mirror_bank.CONNECTION}"
        command = ["/usr/lib/postgresql/15/bin/pgbench", "-n", "-c", str(PGBENCH_CLIENTS), "-T", "600", where]
        while not self._stopped.is_set():
            self._running = subprocess.Popen(
                self.lab.machine(LAN).enter_bound(*command),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=machine.environment(),
            )
            self._running.wait()
            self._stopped.wait(0.1)


class Sent:
    """The most that a node's resync says it has sent, while it runs."""

    def __init__(self, lab: MirrorLab, node: str) -> None:
        self.lab = lab
        self.node = node
        self.bytes = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(0.02):
            self._take(self.lab.status(self.node))
        self._take(self.lab.status(self.node))

    def _take(self, status: dict[str, Any]) -> None:
        for part in ("progress", "figures"):
            self.bytes = max(self.bytes, (status.get(part) or {}).get("sent_bytes", 0))


def summary(outcome: Outcome) -> Table:
    table = Table(title="\nWhat the clients saw", title_justify="left", show_header=False)
    table.add_row("transfers committed, of them lost", f"{outcome.committed}, {outcome.lost}")
    table.add_row("power off: until the first transfer on the other node", f"{outcome.takeover_s:.2f} s")
    table.add_row("return: sent, size of the zones with changes",
                  f"{outcome.resync_bytes / 1e6:.1f} MB, {outcome.dirty_bytes / 1e6:.1f} MB")  # fmt: skip
    table.add_row("swap: longest wait of the clients", f"{outcome.swap_s:.2f} s")
    return table


def _look_around(lab: MirrorLab) -> str:
    return (
        f"\nThe lab stays up. Look around:\n"
        f"  sudo ./lab/lab exec --name {lab.name} n1 $PWD/.venv/bin/farmctl status\n"
        f"  sudo ./lab/lab exec --name {lab.name} lan psql -h {ADDRESS} -U postgres -c 'SELECT count(*) FROM ledger'\n"
        f"and end it with: sudo ./lab/demo --mirror --down --name {lab.name}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("demo --mirror", description="Watch a mirrored PostgreSQL lose a node.")
    parser.add_argument("--name", default=f"demo-{os.getpid()}", help="the lab's name (default: one of its own)")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    parser.add_argument("--keep", action="store_true", help="leave the lab up and say how to look around")
    parser.add_argument("--down", action="store_true", help="only end a lab that was kept")
    return parser.parse_args()


def main() -> int:
    """Runs the demonstration; the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the lab is taken down then, too
    console = Console(stderr=arguments.json)
    lab = MirrorLab(arguments.name, [example("postgresql")])
    if arguments.down:
        lab.down()
        return 0
    console.print("Building a lab: n1 and n2 with a disk each, a router as witness, clients.", highlight=False)
    try:
        lab.up(start=False)
        try:
            outcome = Demonstration(lab, console).run()
        finally:
            if not arguments.keep:
                lab.down()
    except LabError as error:
        console.print(f"demo: {error}", style="red", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    console.print(summary(outcome), highlight=False)
    faults = outcome.faults()
    for fault in faults:
        console.print(f"The mirror misbehaved: {fault}.", style="bold red", highlight=False)
    if arguments.keep:
        console.print(_look_around(lab), highlight=False, markup=False)
    if arguments.json:
        print(json.dumps(asdict(outcome)))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
