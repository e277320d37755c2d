"""The demonstration of a mirror: PostgreSQL on two nodes loses one of them under load, and takes it back.

Five scenes. Clients transfer money through the virtual address all the time and remember what was committed; pgbench
runs beside them. Exit status 1 if a committed transaction was lost, or the mirror misbehaved otherwise.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

from rich.console import Console
from rich.table import Table

from lab import machine, mirror_bank, mirror_postgresql, mirror_takeover, showing
from lab.mirror import MirrorLab, example
from lab.mirror_bank import Bank
from lab.mirror_postgresql import ADDRESS
from lab.topology import LAN
from mirrord.core.zones import CHUNK_BYTES

CALM_S = 3.0
AFTERWARDS_S = 1.0
PGBENCH_CLIENTS = 4
SUSPICION_S_MAX = 2.5
OWN_S_MAX = 4.0
"""What mirrord and the clients may add to the suspicion and to PostgreSQL's own time, on a very busy machine."""


@dataclass
class Outcome(showing.Outcome):
    committed: int = 0
    """Transfers that the clients were told are committed."""
    lost: int = 0
    """Those of them that the database does not have at the end."""
    takeover_s: float = 0.0
    """From the power-off of the serving node to the first transfer that the other one committed."""
    takeover_suspicion_s: float = 0.0
    """Of it, the silence after which a node counts as gone."""
    takeover_application_s: float = 0.0
    """Of it, PostgreSQL's own start, with its recovery from a crash."""
    takeover_own_s: float = 0.0
    """The rest of it: mirrord's own, and the clients' new connections."""
    resync_bytes: int = 0
    """What was sent to the node that came back, to bring it up to date."""
    dirty_bytes: int = 0
    """The size of the zones in which something had changed meanwhile, each counted for one file."""
    swap_s: float = 0.0
    """The longest time without a committed transfer while the nodes changed roles."""
    swap_application_s: float = 0.0
    """Of it, PostgreSQL's own end on n2 and start on n1."""
    swap_own_s: float = 0.0
    """The rest of it."""
    wrong: list[str] = field(default_factory=list)
    """What else was not as it should be."""

    def faults(self) -> list[str]:
        found = list(self.wrong)
        if self.lost:
            found.append(f"{self.lost} of {self.committed} committed transfers are lost")
        if self.takeover_suspicion_s > SUSPICION_S_MAX:
            found.append(f"the dead node was suspected after {self.takeover_suspicion_s:.1f} s")
        for done, own_s in (("takeover", self.takeover_own_s), ("swap", self.swap_own_s)):
            if own_s > OWN_S_MAX:
                found.append(f"the {done} took {own_s:.1f} s more than PostgreSQL did")
        return found

    def summary(self) -> Table:
        table = Table(title="\nWhat the clients saw", title_justify="left", show_header=False)
        table.add_row("transfers committed, of them lost", f"{self.committed}, {self.lost}")
        table.add_row("power off: first transfer on the other node after", f"{self.takeover_s:.2f} s")
        takeover = [self.takeover_suspicion_s, self.takeover_application_s, self.takeover_own_s]
        table.add_row("  suspicion, PostgreSQL's start, the rest", _seconds(takeover))
        table.add_row("return: sent, size of the zones with changes",
                      f"{self.resync_bytes / 1e6:.1f} MB, {self.dirty_bytes / 1e6:.1f} MB")  # fmt: skip
        table.add_row("swap: longest wait of the clients", f"{self.swap_s:.2f} s")
        table.add_row("  PostgreSQL's end and start, the rest", _seconds([self.swap_application_s, self.swap_own_s]))
        return table


class Demonstration(showing.Demonstration[MirrorLab, Outcome]):
    """The scenes, in order."""

    def run(self) -> None:
        self._first_start()
        with Bank(self.lab, ADDRESS) as bank, Pgbench(self.lab):
            bank.first_after(0.0)
            self._calm(bank)
            self._power_off(bank)
            self._failback(bank)
            self._swap(bank)
        self._count(bank)

    def look_around(self) -> str:
        name = f"--name {self.lab.name}"
        return (
            f"\nThe lab stays up. Look around:\n"
            f"  sudo ./lab/lab exec {name} n1 $PWD/.venv/bin/farmctl status\n"
            f"  sudo ./lab/lab exec {name} lan psql -h {ADDRESS} -U postgres -c 'SELECT count(*) FROM ledger'\n"
            f"and end it with: sudo ./lab/demo --mirror --down {name}"
        )

    def _first_start(self) -> None:
        self.say("\n[bold]1. A database on n1 becomes a mirror[/]; n2's folder is empty")
        mirror_postgresql.make(self.lab, "n1")
        start = time.monotonic()
        self.lab.start_all(data_on="n1")
        self.say(f"   `farmctl promote` on n1, which has the data; in sync after {time.monotonic() - start:.1f} s.")

    def _calm(self, bank: Bank) -> None:
        self.say(f"\n[bold]2. Clients transfer money through {ADDRESS}[/], beside pgbench")
        before = len(bank.committed)
        time.sleep(CALM_S)
        figures = self.lab.status("n1").get("figures", {})
        self.say(f"   {(len(bank.committed) - before) / CALM_S:.0f} transfers a second, "
                 f"and with pgbench's {figures.get('writes_s', 0):.0f} replicated changes a second.")  # fmt: skip

    def _power_off(self, bank: Bank) -> None:
        self.say("\n[bold]3. n1 loses its power[/], in the middle of everything")
        off, off_at = time.monotonic(), time.time()
        self.lab.kill("n1")
        total_s = bank.first_after(off + mirror_takeover.ON_ITS_WAY_S) - off
        takeover = mirror_takeover.measured(self.lab, "n1", "n2", off_at, total_s)
        self.outcome.takeover_s = round(takeover.total_s, 2)
        self.outcome.takeover_suspicion_s = round(takeover.suspicion_s, 2)
        self.outcome.takeover_application_s = round(takeover.started_s, 2)
        self.outcome.takeover_own_s = round(takeover.own_s, 2)
        time.sleep(CALM_S)
        self.say(f"   n2 committed its first transfer after {takeover.total_s:.2f} s:")
        self.say(f"   {takeover.suspicion_s:.2f} s of suspicion, {takeover.started_s:.2f} s for PostgreSQL to start.")

    def _failback(self, bank: Bank) -> None:
        self.say("\n[bold]4. n1 comes back[/] and is brought up to date while the clients go on")
        self.outcome.dirty_bytes = self.lab.status("n2")["figures"]["zones"] * CHUNK_BYTES
        start = time.monotonic()
        self.lab.start("n1")
        sent = Sent(self.lab, "n2")
        with sent:
            self.lab.wait_pair()
        self.outcome.resync_bytes = sent.bytes
        gap_s = bank.longest_gap_s(start, time.monotonic())
        self.say(f"   It was in sync after {time.monotonic() - start:.1f} s; {sent.bytes / 1e6:.1f} MB were sent.")
        self.say(f"   The clients' longest wait was {gap_s:.2f} s.")

    def _swap(self, bank: Bank) -> None:
        self.say("\n[bold]5. The nodes change roles[/], the planned way (farmctl swap)")
        start, start_at = time.monotonic(), time.time()
        self.lab.farmctl("n2", "swap")
        self.lab.wait("n1", role="PRIM", readiness="ready")
        bank.first_after(time.monotonic())
        self.lab.wait_pair()
        gap_s = bank.longest_gap_s(start, time.monotonic())
        takeover = mirror_takeover.measured(self.lab, "n2", "n1", start_at, gap_s)
        self.outcome.swap_s = round(gap_s, 2)
        self.outcome.swap_application_s = round(takeover.ended_s + takeover.started_s, 2)
        self.outcome.swap_own_s = round(takeover.own_s, 2)
        time.sleep(AFTERWARDS_S)
        self.say(f"   n1 serves again; the clients' longest wait was {gap_s:.2f} s:")
        self.say(f"   {takeover.ended_s:.2f} s for PostgreSQL to end, {takeover.started_s:.2f} s for it to start.")

    def _count(self, bank: Bank) -> None:
        self.outcome.committed = len(bank.committed)
        self.outcome.lost = len(bank.lost())
        self.outcome.wrong += mirror_bank.faults(self.lab, ADDRESS)
        found = self.lab.farmctl("n1", "verify")
        if found.get("differing"):
            self.outcome.wrong.append(f"the nodes differ in {', '.join(found['differing'][:3])}")


def _seconds(times_s: list[float]) -> str:
    return ", ".join(f"{time_s:.2f} s" for time_s in times_s)


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


def main() -> int:
    """Runs the demonstration; the exit status."""
    parser = showing.options("demo --mirror", "Watch a mirrored PostgreSQL lose a node.")
    parser.add_argument("--down", action="store_true", help="only end a lab that was kept")
    wanted = parser.parse_args()
    lab = MirrorLab(wanted.name, [example("postgresql")])
    if wanted.down:
        lab.down()
        return 0
    demonstration = Demonstration(lab, Console(stderr=wanted.json), Outcome())
    demonstration.say("Building a lab: n1 and n2 with a disk each, a router as witness, clients.")
    return demonstration.show(wanted, "mirror", start=False)


if __name__ == "__main__":
    sys.exit(main())
