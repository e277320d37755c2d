"""Two sites, two IP networks, two farms, and a real HAProxy in front of them that asks their health pages.

    ┌────────────────────────────┐
    │ front: clients, HAProxy    │  the clients ask HAProxy, HAProxy asks 10.1.0.100 and 10.2.0.100
    │ a: 172.31.1.1  b: .2.1     │
    └──────┬──────────────┬──────┘
       ┌───┴────┐     ┌───┴────┐
       │ router │     │ router │     each site is a lab of its own (lab/topology.py)
       └───┬────┘     └───┬────┘
       ┌───┴────┐     ┌───┴────┐
       │ switch │     │ switch │
       └─┬────┬─┘     └─┬────┬─┘
        n1   n2        n1   n2        10.1.0.0/16       10.2.0.0/16

Twice, once with httpchk and once with agent-check: a site is drained and comes back, a site loses its power and comes
back; the clients' failed requests are counted. Exit status 1 if a planned change failed any.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Self, get_args

from rich.console import Console
from rich.table import Table

from lab import haproxy, machine, services
from lab.haproxy import Asking
from lab.machine import Machine
from lab.measure import Measurement
from lab.network import Lab
from lab.showing import showing
from lab.topology import ROUTER
from lab.waiting import until

FRONT = "front"
HAPROXY = "haproxy"
NODES = 2
DRAIN_AHEAD_S = 2.0
"""How long a drain is announced before buckets move: ample for HAProxy, which asks four times a second."""
CLIENTS = 32
INTERVAL_MS = 50.0
PATIENCE_MS = 4000.0
AFTERWARDS_S = 1.0
"""How long the clients go on after a change; what follows it belongs to it."""


class Sites:
    """Sites "a" and "b", and the place in front of them."""

    def __init__(self, name: str, nodes: int = NODES) -> None:
        self.name = name
        self.labs: dict[str, Lab] = {}
        for number, site in enumerate("ab", start=1):
            lab = Lab(f"{name}-{site}", nodes, site=number)
            ahead = f"drain_ahead_s = {DRAIN_AHEAD_S}"
            lab.config = services.farm_config(lab.topology, ahead, affinity="connection")
            self.labs[site] = lab

    def __enter__(self) -> Self:
        try:
            for lab in self.labs.values():
                lab.up()
                for node in lab.topology.node_names:
                    lab.start_health(node)
            self._join()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def down(self) -> None:
        """End everything that is there."""
        machine.end_all(self.name)
        for lab in self.labs.values():
            lab.down()

    @property
    def front(self) -> Machine:
        return machine.running(self.name)[FRONT]

    def popen(self, place: str, *command: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
        """Run a command in front, as Lab.popen does in a lab's places."""
        assert place == FRONT
        return subprocess.Popen(self.front.enter_bound(*command), stdout=stdout, bufsize=0, env=machine.environment())

    def _join(self) -> None:
        """A cable from the front to each site's router."""
        front = machine.boot(self.name, [FRONT], self.labs["a"].state.machines_log)[FRONT]
        front.network_command("ip -batch -", "link set lo up\n")
        for number, (site, lab) in enumerate(self.labs.items(), start=1):
            router, port = lab.machine(ROUTER), f"site-{site}"
            router.network_command(
                "ip -batch -",
                f"link add front type veth peer name {port} netns {front.pid}\n"
                f"addr add 172.31.{number}.254/24 dev front\nlink set front up\n",
            )
            front.network_command(
                "ip -batch -",
                f"addr add 172.31.{number}.1/24 dev {port}\nlink set {port} up\n"
                f"route add 10.{number}.0.0/16 via 172.31.{number}.254\n",
            )

    @contextlib.contextmanager
    def asked_by(self, asking: Asking) -> Iterator[None]:
        """HAProxy runs in front, and has found both sites up."""
        vips = {site: lab.topology.vips[0] for site, lab in self.labs.items()}
        self.front.write(haproxy.CONFIG, haproxy.config(asking, vips))
        self.front.start_service(HAPROXY, haproxy.command(), self.labs["a"].state.log(HAPROXY))
        try:
            for site in self.labs:
                self.wait(site, "UP")
            yield
        finally:
            running = self.front.service(HAPROXY)
            if running is not None:
                machine.signal_service(running, signal.SIGTERM, wait_s=5.0)

    def wait(self, site: str, *wanted: str, timeout_s: float = 30.0) -> None:
        """Wait until HAProxy thinks one of these of a site."""
        path = self.front.path(haproxy.SOCKET)

        def as_wanted() -> bool:
            with contextlib.suppress(OSError):
                # "UP 1/2" is on its way down, "DOWN 1/2" on its way up.
                return haproxy.statuses(path)[site] in wanted
            return False

        until(as_wanted, f"HAProxy to see site {site} {' or '.join(wanted)}", timeout_s, interval_s=0.02)

    def requests(self) -> Measurement:
        """Clients that ask HAProxy."""
        options = {"target": haproxy.LISTENS, "first": haproxy.LISTENS, "count": CLIENTS, "interval-ms": INTERVAL_MS,
                   "timeout-ms": PATIENCE_MS, "answer-ms": PATIENCE_MS, "seconds": 300}  # fmt: skip
        given = [f"--{name}={value}" for name, value in options.items()]
        return Measurement(self, FRONT, "lab.clients", "requests", *given)

    def drain(self, site: str) -> None:
        """An operator's order for the whole site; returns when it owns nothing."""
        self.labs[site].exec("n1", *services.farmctl("drain", "--all", "--timeout", "20", "--json"))

    def undrain(self, site: str) -> None:
        self.labs[site].exec("n1", *services.farmctl("undrain", "--all", "--timeout", "20", "--json"))

    def kill(self, site: str) -> None:
        """The site's nodes lose their power."""
        for node in self.labs[site].topology.node_names:
            self.labs[site].kill(node)

    def start(self, site: str) -> None:
        """Its nodes boot again."""
        lab = self.labs[site]
        for node in lab.topology.node_names:
            lab.start(node)
            lab.start_health(node)


@dataclass
class Scene:
    """What the clients saw of one change."""

    asking: Asking
    change: str
    site: str
    planned: bool
    requests: int = 0
    failed: int = 0
    worst_gap_ms: float = 0.0
    """The longest time that any client was without an answer because of a failed request."""
    noticed_s: float = 0.0
    """From the change's begin until HAProxy had acted on it."""
    answers: dict[str, int] = field(default_factory=dict)
    """By site."""


def scenes(sites: Sites, asking: Asking) -> Iterator[Scene]:
    """Drain, bring back, power off, bring back; each is measured while clients ask."""
    with sites.asked_by(asking):
        yield watch(sites, Scene(asking, "drain", "a", planned=True), sites.drain, "NOLB", "DRAIN", "DOWN")
        yield watch(sites, Scene(asking, "bring back", "a", planned=True), sites.undrain, "UP")
        yield watch(sites, Scene(asking, "power off", "b", planned=False), sites.kill, "DOWN")
        yield watch(sites, Scene(asking, "bring back", "b", planned=True), sites.start, "UP")


def watch(sites: Sites, scene: Scene, change: Callable[[str], None], *then: str) -> Scene:
    """Makes the change amid requests, and waits until HAProxy has acted on it."""
    with sites.requests() as clients:
        begin = time.monotonic()
        change(scene.site)
        sites.wait(scene.site, *then)
        scene.noticed_s = round(time.monotonic() - begin, 2)
        time.sleep(AFTERWARDS_S)
    seen = clients.result()
    scene.requests, scene.failed = seen["requests"], seen["failed"]
    scene.worst_gap_ms = round(seen["gap_ms"], 1)
    answers: Counter[str] = Counter()
    for node, count in seen["nodes"].items():
        answers[node.partition("-")[0]] += count
    scene.answers = dict(answers)
    return scene


def table(seen: list[Scene]) -> Table:
    """A line for each scene."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("asked by", "change", "requests", "failed", "gap, ms", "noticed, s", "answers"):
        right = heading in ("requests", "failed", "gap, ms", "noticed, s")
        drawn.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for one in seen:
        answers = ", ".join(f"{site} {count}" for site, count in sorted(one.answers.items()))
        style = "bold red" if one.planned and one.failed else ""
        change = f"{one.change} {one.site}"
        figures = (str(one.requests), str(one.failed), f"{one.worst_gap_ms:g}", f"{one.noticed_s:g}")
        drawn.add_row(one.asking, change, *figures, answers, style=style)
    return drawn


def main() -> int:
    """Entry of `./lab/sites`; the exit status."""
    parser = argparse.ArgumentParser(prog="sites", description="Two sites behind a real HAProxy.")
    parser.add_argument("--json", action="store_true", help="print one JSON object; the rest goes to standard error")
    parser.add_argument("--asking", choices=get_args(Asking), help="only this way of asking")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    seen: list[Scene] = []
    with showing("sites", console), Sites(f"sites-{os.getpid()}") as sites:
        for asking in [options.asking] if options.asking else get_args(Asking):
            for scene in scenes(sites, asking):
                console.print(f"{scene.asking}: {scene.change} {scene.site} ...", highlight=False)
                seen.append(scene)
    console.print(table(seen), highlight=False)
    if options.json:
        print(json.dumps([asdict(scene) for scene in seen]))
    return 1 if any(scene.planned and scene.failed for scene in seen) else 0


if __name__ == "__main__":
    sys.exit(main())
