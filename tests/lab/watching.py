"""Clients near and far, over IPv4 and IPv6, that ask all the time, and a watch over the answers that they get.

    with watched(farm) as clients:
        farm.stop("n2")
    assert clients.failed == 0

What they saw can be read when the block has ended. Two answers to one question fail every such test by themselves:
no scene excuses them.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lab import measure
from lab.measure import Measurement
from lab.network import Lab
from lab.services import SLOW_BYTES_PER_S
from lab.topology import FAR, LAN, VIPS
from lab.waiting import until

PLACES = (LAN, FAR)
VIP, VIP6 = (str(vip) for vip in VIPS)
PATIENT_MS = 3000.0
"""Enough for TCP to send a SYN again, which it does after a second (RFC 6298, 2.1)."""
IMPATIENT_MS = 250.0
"""A client that notices an outage sooner than TCP repeats its SYN, and that a busy machine does not fool."""
INTERVAL_MS = 150.0
COUNT = 32
RETRY_S = 0.9
"""A request that took longer had lost its SYN."""


class Clients:
    """What all clients together saw."""

    def __init__(self, number: int, running: list[Measurement], watches: list[Measurement], logs: list[Path]) -> None:
        self.number = number
        self._running = running
        self._watches = watches
        self._logs = logs

    @property
    def each(self) -> dict[str, dict[str, Any]]:
        """Every client's experience (lab.clients), by its address."""
        return {address: one for seen in self._running for address, one in seen.result()["per_client"].items()}

    @property
    def failures(self) -> list[tuple[str, list[Any]]]:
        """Requests without an answer: the client's address, then start, end and error."""
        return [(address, failure) for address, one in self.each.items() for failure in one["failures"]]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Every request that is over: client, start, end, node, error."""
        return self.requests_beyond([0] * len(self._logs))

    def log_sizes(self) -> list[int]:
        """Where the logs end now."""
        return [log.stat().st_size for log in self._logs]

    def requests_beyond(self, sizes: list[int]) -> list[dict[str, Any]]:
        """Requests whose lines in the logs begin beyond these sizes."""
        texts = [log.read_bytes()[size:] for log, size in zip(self._logs, sizes, strict=True)]
        # The line that is being written may be there in part only.
        lines = [line for text in texts for line in text.rpartition(b"\n")[0].splitlines()]
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    @property
    def retried(self) -> int:
        """Requests that came to a good end only because TCP tried again."""
        return sum(1 for one in self.requests if one["error"] is None and one["end"] - one["start"] > RETRY_S)

    @property
    def gap_ms(self) -> float:
        """The longest time that a client was without an answer."""
        return max(float(one["gap_ms"]) for one in self.each.values())

    @property
    def answers(self) -> Counter[str]:
        """Answers by the node that gave them."""
        return sum((Counter(one["nodes"]) for one in self.each.values()), Counter())

    @property
    def steady(self) -> bool:
        """Whether every client got all of its answers from one node."""
        return all(len(one["nodes"]) == 1 for one in self.each.values())

    def served_by(self, node: str) -> dict[str, dict[str, Any]]:
        """Clients that got an answer from a node."""
        return {address: one for address, one in self.each.items() if node in one["nodes"]}

    def check_single_answers(self) -> None:
        """No question had two answers, and none came from the vmac."""
        for watch in self._watches:
            seen = watch.result()
            assert seen["missed"] == 0
            assert seen["answered"] > 0
            assert seen["duplicates"] == 0, seen["examples"]
            assert seen["vmac_sources"] == 0


@contextmanager
def watched(
    lab: Lab,
    *,
    places: tuple[str, ...] = PLACES,
    targets: tuple[str, ...] = (VIP, VIP6),
    count: int = COUNT,
    interval_ms: float = INTERVAL_MS,
    timeout_ms: float = PATIENT_MS,
    vips: tuple[str, ...] = (VIP, VIP6),
) -> Iterator[Clients]:
    """Let `count` clients of each place and family ask every `interval_ms`; each has asked once when this yields."""
    watches = [measure.duplicates(lab, place, vips) for place in places]
    running, logs = [], []
    for place in places:
        for target in targets:
            log = f"/run/requests-to-{target}"
            patience = {"timeout_ms": timeout_ms, "answer_ms": timeout_ms}
            running.append(
                measure.requests(lab, place, target, count=count, log=log, interval_ms=interval_ms, **patience)
            )
            logs.append(lab.machine(place).path(log))
    with ExitStack() as ending:
        for one in (*watches, *running):  # all are under way already
            ending.enter_context(one)
        clients = Clients(count * len(logs), running, watches, logs)
        yield clients
        wait_answers(clients, 1)  # what hangs now must not pass for an answer
    clients.check_single_answers()


def wait_answers(clients: Clients, rounds: int) -> None:
    """Until each client has asked so many times again, and was answered or gave up."""
    start, sizes = time.monotonic(), clients.log_sizes()

    def asked_again() -> bool:
        counts = Counter(one["client"] for one in clients.requests_beyond(sizes) if one["start"] > start)
        return len(counts) == clients.number and min(counts.values()) >= rounds

    until(asked_again, "the clients to go on asking", timeout_s=30, interval_s=0.05)


class Downloads:
    """Downloads that run near and far."""

    def __init__(self, running: list[Measurement]) -> None:
        self._running = running

    def finish(self, timeout_s: float = 60.0) -> list[dict[str, Any]]:
        """Wait for their ends, and return those that did not come whole."""
        results = [one.finish(timeout_s) for one in self._running]
        return [one for result in results for one in result["each"] if one["state"] != "complete"]

    def nodes(self) -> Counter[str]:
        """How many came from which node, once they are finished."""
        return Counter(one["node"] for running in self._running for one in running.result()["each"])


@contextmanager
def downloading(
    lab: Lab, count: int = 200, seconds: float = 4.0, places: tuple[str, ...] = PLACES
) -> Iterator[Downloads]:
    """Start so many downloads in all, from every place and both families, that take so long; all are established."""
    kinds = [(place, target) for place in places for target in (VIP, VIP6)]
    size = round(seconds * SLOW_BYTES_PER_S)
    each = count // len(kinds)
    running = [measure.downloads(lab, place, target, downloads=each, bytes=size) for place, target in kinds]
    with ExitStack() as ending:
        yield Downloads([ending.enter_context(one) for one in running])
