"""The demonstration: a farm of real nginx servers loses a node and takes it back, watched by real HTTP clients.

Four scenes, each measured from outside, where the clients are: who answers whom; the power of a node is cut; the node
comes back amid running downloads; a node is stopped the planned way. Exit status 1 if the farm misbehaved.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from lab import measure, showing
from lab.network import Lab
from lab.topology import CLIENTS, FAR, LAN, VIPS

VICTIM = "n2"
CALM_S = 3.0
AFTERWARDS_S = 1.5
"""How long the clients go on after a scene: what TCP repeats, it repeats after a second, and belongs to the scene."""
IMPATIENT_MS = 100.0
"""What a client gives a connection when a node fails, so that it sees the outage and not TCP's retries."""
PATIENT_MS = 3000.0
"""What it gives one in planned scenes. A SYN may fall into the millisecond in which its bucket is on its way from one
node to another; TCP sends it again, as it does with any SYN that is lost."""
DOWNLOADS = 100
DOWNLOAD_BYTES = 1_200_000
"""About six seconds at the 200 kB/s of /slow."""
GAP_MS_MAX = 800.0
"""A takeover that clients saw for longer is misbehaviour: suspicion (400 ms) with room for a busy machine."""


@dataclass
class Outcome(showing.Outcome):
    nodes: int
    clients: int = 0
    requests: int = 0
    failed_outside_gap: int = 0
    share: dict[str, float] = field(default_factory=dict)
    """For each node its part of the answers while all was well."""
    takeover_gap_ms: float = 0.0
    """The longest time any client went without an answer when a node lost its power."""
    rejoin_broken_flows: int = 0
    rejoin_failed_requests: int = 0
    stop_failed_requests: int = 0
    duplicate_answers: int = 0

    def faults(self) -> list[str]:
        found = []
        if self.failed_outside_gap:
            found.append(f"{self.failed_outside_gap} requests failed although no node had just failed")
        if self.takeover_gap_ms > GAP_MS_MAX:
            found.append(f"the takeover took {self.takeover_gap_ms:.0f} ms")
        if self.rejoin_broken_flows or self.rejoin_failed_requests:
            found.append("the node's return was noticed by clients")
        if self.stop_failed_requests:
            found.append(f"a planned stop failed {self.stop_failed_requests} requests")
        if self.duplicate_answers:
            found.append(f"{self.duplicate_answers} questions were answered twice")
        return found

    def summary(self) -> Table:
        table = Table(title="\nWhat the clients saw", title_justify="left", show_header=False)
        each = ", ".join(f"{node} {share:.1%}" for node, share in self.share.items())
        table.add_row("answers while all was well", each)
        table.add_row("requests, from client addresses", f"{self.requests}, {self.clients}")
        table.add_row("power off: longest wait of a client", f"{self.takeover_gap_ms:.0f} ms")
        table.add_row("failed outside of that", str(self.failed_outside_gap))
        table.add_row("return: broken downloads, failed requests",
                      f"{self.rejoin_broken_flows} of {DOWNLOADS}, {self.rejoin_failed_requests}")  # fmt: skip
        table.add_row("planned stop and start: failed requests", str(self.stop_failed_requests))
        table.add_row("questions answered twice", str(self.duplicate_answers))
        return table


class Demonstration(showing.Demonstration[Lab, Outcome]):
    """The scenes, in order."""

    def run(self) -> None:
        with measure.duplicates(self.lab, LAN) as near, measure.duplicates(self.lab, FAR) as far:
            self._calm()
            self._power_off()
            self._come_back()
            self._planned_stop()
        self.outcome.duplicate_answers = near.result()["duplicates"] + far.result()["duplicates"]

    def look_around(self) -> str:
        name = "" if self.lab.name == "lab" else f" --name {self.lab.name}"
        return (
            f"\nThe lab stays up. Look around:\n"
            f"  sudo ./lab/lab status{name}\n"
            f"  sudo ./lab/lab exec{name} n1 $PWD/.venv/bin/farmctl status\n"
            f"  sudo ./lab/lab exec{name} lan curl -s http://{VIPS[0]}/\n"
            f"  sudo ./lab/lab kill{name} n3\n"
            f"and end it with: sudo ./lab/lab down{name}"
        )

    def _calm(self) -> None:
        self.say(f"\n[bold]1. {2 * CLIENTS} clients ask {VIPS[0]}[/], half on the LAN, half behind a router")
        seen = self._ask_for(CALM_S)
        self.outcome.clients = 2 * CLIENTS
        self.outcome.failed_outside_gap += sum(result["failed"] for result in seen)
        answers = _answers(seen)
        total = max(1, sum(answers.values()))
        self.outcome.share = {node: round(answers[node] / total, 3) for node in self.lab.topology.node_names}
        each = ", ".join(f"{node} {share:.0%}" for node, share in self.outcome.share.items())
        clients = [client for result in seen for client in result["per_client"].values()]
        steady = sum(1 for client in clients if len(client["nodes"]) == 1)
        self.say(f"   {total} answers: {each}. {steady} of {len(clients)} clients got all of theirs from one node.")

    def _power_off(self) -> None:
        self.say(f"\n[bold]2. {VICTIM} loses its power[/], without a word to anybody")
        with self._clients() as running:
            off = time.monotonic()
            self.lab.kill(VICTIM)
            self.lab.wait_converged(*self._survivors())
            time.sleep(AFTERWARDS_S)
        seen = [one.result() for one in running]
        self._count(seen)
        gap_ms = max(result["gap_ms"] for result in seen)
        self.outcome.takeover_gap_ms = round(gap_ms, 1)
        self.outcome.failed_outside_gap += sum(_failed_outside(result, off, off + gap_ms / 1000) for result in seen)
        self.say(f"   The others have its clients; the longest wait of any client was {gap_ms:.0f} ms.")

    def _come_back(self) -> None:
        self.say(f"\n[bold]3. {VICTIM} comes back[/] while {DOWNLOADS} downloads run")
        files = measure.downloads(self.lab, LAN, str(VIPS[0]), downloads=DOWNLOADS, bytes=DOWNLOAD_BYTES)
        with files, self._clients(PATIENT_MS) as running:
            self.lab.start(VICTIM)
            self.lab.wait_converged(*self.lab.topology.node_names)
            result = files.finish(timeout_s=60)
            time.sleep(AFTERWARDS_S)
        seen = [one.result() for one in running]
        self._count(seen)
        self.outcome.rejoin_broken_flows = result["downloads"] - result["complete"]
        self.outcome.rejoin_failed_requests = sum(one["failed"] for one in seen)
        taken = _answers(seen)[VICTIM]
        self.say(
            f"   {VICTIM} answered {taken} new requests meanwhile. {result['complete']} of {result['downloads']} "
            f"downloads that ran elsewhere came to their end; {self.outcome.rejoin_failed_requests} requests failed."
        )

    def _planned_stop(self) -> None:
        self.say(f"\n[bold]4. {VICTIM} is stopped the planned way[/] (SIGTERM), and started again")
        with self._clients(PATIENT_MS) as running:
            self.lab.stop(VICTIM)
            self.lab.start(VICTIM)
            self.lab.wait_converged(*self.lab.topology.node_names)
            time.sleep(AFTERWARDS_S)
        seen = [one.result() for one in running]
        self._count(seen)
        self.outcome.stop_failed_requests = sum(result["failed"] for result in seen)
        self.say(f"   Of {sum(result['requests'] for result in seen)} requests "
                 f"{self.outcome.stop_failed_requests} failed.")  # fmt: skip

    # -- clients -------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _clients(self, timeout_ms: float = IMPATIENT_MS) -> Iterator[list[measure.Measurement]]:
        vip = str(VIPS[0])
        with (
            measure.requests(self.lab, LAN, vip, timeout_ms=timeout_ms) as near,
            measure.requests(self.lab, FAR, vip, timeout_ms=timeout_ms) as far,
        ):
            yield [near, far]

    def _ask_for(self, seconds: float) -> list[dict[str, Any]]:
        with self._clients() as running:
            time.sleep(seconds)
        seen = [one.result() for one in running]
        self._count(seen)
        return seen

    def _count(self, seen: list[dict[str, Any]]) -> None:
        self.outcome.requests += sum(result["requests"] for result in seen)

    def _survivors(self) -> list[str]:
        return [node for node in self.lab.topology.node_names if node != VICTIM]


def _answers(seen: list[dict[str, Any]]) -> Counter[str]:
    return sum((Counter(result["nodes"]) for result in seen), Counter[str]())


def _failed_outside(result: dict[str, Any], start: float, end: float) -> int:
    """Requests that failed although they began after the gap or ended before it."""
    failures = (failure for client in result["per_client"].values() for failure in client["failures"])
    return sum(1 for began, ended, _ in failures if ended < start or began > end)


def main() -> int:
    """Runs the demonstration; the exit status."""
    parser = showing.options("demo", "Watch a farm lose a node and take it back.")
    parser.add_argument("--nodes", type=int, default=3, help="how many web servers (default 3)")
    wanted = parser.parse_args()
    lab = Lab(wanted.name, wanted.nodes)
    demonstration = Demonstration(lab, Console(stderr=wanted.json), Outcome(wanted.nodes))
    demonstration.say(f"Building a lab: {wanted.nodes} web servers, a switch, a router, clients.")
    return demonstration.show(wanted, "farm")


if __name__ == "__main__":
    sys.exit(main())
