"""The demonstration: a farm of real nginx servers loses a node and takes it back, watched by real HTTP clients.

Four scenes, each measured from outside, where the clients are: who answers whom; the power of a node is cut; the node
comes back amid running downloads; a node is stopped the planned way. Exit status 1 if the farm misbehaved.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from lab import measure
from lab.errors import LabError
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
class Outcome:
    """What was measured; the fields of `--json`."""

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
        """What is wrong with it, in sentences."""
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


class Demonstration:
    """The scenes, in order."""

    def __init__(self, lab: Lab, console: Console) -> None:
        self.lab = lab
        self.console = console
        self.outcome = Outcome(nodes=lab.topology.nodes)

    def run(self) -> Outcome:
        with measure.duplicates(self.lab, LAN) as near, measure.duplicates(self.lab, FAR) as far:
            self._calm()
            self._power_off()
            self._come_back()
            self._planned_stop()
        self.outcome.duplicate_answers = near.result()["duplicates"] + far.result()["duplicates"]
        return self.outcome

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False)

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


def _summary(outcome: Outcome) -> Table:
    table = Table(title="\nWhat the clients saw", title_justify="left", show_header=False)
    each = ", ".join(f"{node} {share:.1%}" for node, share in outcome.share.items())
    table.add_row("answers while all was well", each)
    table.add_row("requests, from client addresses", f"{outcome.requests}, {outcome.clients}")
    table.add_row("power off: longest wait of a client", f"{outcome.takeover_gap_ms:.0f} ms")
    table.add_row("failed outside of that", str(outcome.failed_outside_gap))
    table.add_row("return: broken downloads, failed requests",
                  f"{outcome.rejoin_broken_flows} of {DOWNLOADS}, {outcome.rejoin_failed_requests}")  # fmt: skip
    table.add_row("planned stop and start: failed requests", str(outcome.stop_failed_requests))
    table.add_row("questions answered twice", str(outcome.duplicate_answers))
    return table


def _look_around(lab: Lab) -> str:
    name = "" if lab.name == "lab" else f" --name {lab.name}"
    return (
        f"\nThe lab stays up. Look around:\n"
        f"  sudo ./lab/lab status{name}\n"
        f"  sudo ./lab/lab exec{name} n1 $PWD/.venv/bin/farmctl status\n"
        f"  sudo ./lab/lab exec{name} lan curl -s http://{VIPS[0]}/\n"
        f"  sudo ./lab/lab kill{name} n3\n"
        f"and end it with: sudo ./lab/lab down{name}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("demo", description="Watch a farm lose a node and take it back.")
    parser.add_argument("--nodes", type=int, default=3, help="how many web servers (default 3)")
    parser.add_argument("--name", default=f"demo-{os.getpid()}", help="the lab's name (default: one of its own)")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    parser.add_argument("--keep", action="store_true", help="leave the lab up and say how to look around")
    return parser.parse_args()


def main() -> int:
    """Runs the demonstration; the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the lab is taken down then, too
    console = Console(stderr=arguments.json)
    console.print(f"Building a lab: {arguments.nodes} web servers, a switch, a router, clients.", highlight=False)
    lab = Lab(arguments.name, arguments.nodes)
    try:
        lab.up()
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
    console.print(_summary(outcome), highlight=False)
    faults = outcome.faults()
    for fault in faults:
        console.print(f"The farm misbehaved: {fault}.", style="bold red", highlight=False)
    if arguments.keep:
        console.print(_look_around(lab), highlight=False, markup=False)
    if arguments.json:
        print(json.dumps(asdict(outcome)))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
