"""Measuring HTTP clients: many source addresses in one process, run in a client place of the lab.

    python -m lab.clients requests --target 10.0.0.100 --first 10.0.1.1 --count 64 --seconds 10
    python -m lab.clients downloads --target fd00::100 --first fd00::1:1 --count 64 --downloads 200 --bytes 1000000

It prints one JSON object per line: {"event": "ready"} once every client has tried once (requests) or is connected
(downloads), and last {"event": "result", ...}, after `--seconds` or on SIGTERM. Times are CLOCK_MONOTONIC seconds.
"""

import argparse
import asyncio
import contextlib
import json
import signal
from collections import Counter
from ipaddress import ip_address
from typing import Any, TextIO

from lab.fetch import BrokenAnswerError, ask, connect, now, reason
from lab.gaps import Experience

DOWNLOAD_TIMEOUT_S = 3.0
"""For a download's connection and again for its header: two tries of TCP to send the SYN."""


class Requests:
    """Each client asks for / again and again, with a new connection each time."""

    def __init__(self, arguments: argparse.Namespace, log: TextIO | None) -> None:
        self.arguments = arguments
        self.log = log
        self.clients = {source: Experience() for source in sources(arguments)}
        self.untried = set(self.clients)
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. The clients start spread over one interval, so that the load is even."""
        step = self.arguments.interval_ms / 1000 / len(self.clients)
        async with asyncio.TaskGroup() as group:
            for number, source in enumerate(self.clients):
                group.create_task(self._client(source, number * step))

    async def _client(self, source: str, delay_s: float) -> None:
        due = now() + delay_s
        while True:
            await asyncio.sleep(due - now())
            start = now()
            node, error = await self._try(source)
            end = now()
            if error is None:
                self.clients[source].success(start, end, node)
            else:
                self.clients[source].failure(start, end, error)
            if self.log:
                entry = {"client": source, "start": start, "end": end, "node": node, "error": error}
                self.log.write(json.dumps(entry) + "\n")
            self.untried.discard(source)
            if not self.untried:
                self.ready.set()
            # Small delays do not add up, so the rate is kept; after a long one nothing is made up for.
            due = max(due + self.arguments.interval_ms / 1000, end)

    async def _try(self, source: str) -> tuple[str, str | None]:
        """The node that answered, or the error."""
        try:
            connection = await connect(
                source, self.arguments.target, self.arguments.port, self.arguments.timeout_ms / 1000
            )
            with connection:
                answer = await ask(connection, "/", self.arguments.answer_ms / 1000)
                await answer.rest(self.arguments.answer_ms / 1000)
        except (OSError, BrokenAnswerError) as error:
            return "", reason(error)
        return answer.node, None

    def result(self) -> dict[str, Any]:
        """Sums over all clients, then each one by its address."""
        seen = self.clients.values()
        return {
            "mode": "requests",
            "clients": len(self.clients),
            "requests": sum(one.requests for one in seen),
            "failed": sum(one.failed for one in seen),
            "nodes": dict(sorted(sum((one.nodes for one in seen), Counter[str]()).items())),
            "gap_ms": max(one.outage_s for one in seen) * 1000,
            "per_client": {source: _experience(one) for source, one in self.clients.items()},
        }


class Downloads:
    """Many long downloads at once, each once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        addresses = sources(arguments)
        self.downloads: list[dict[str, Any]] = [
            {"client": addresses[number % len(addresses)], "state": "unfinished", "node": "", "bytes": 0, "error": None}
            for number in range(arguments.downloads)
        ]
        self.connecting = len(self.downloads)
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Until all have ended, or cancelled."""
        async with asyncio.TaskGroup() as group:
            for download in self.downloads:
                group.create_task(self._download(download))

    async def _download(self, download: dict[str, Any]) -> None:
        download["start"] = now()
        answer = None
        try:
            connection = await connect(
                download["client"], self.arguments.target, self.arguments.port, DOWNLOAD_TIMEOUT_S
            )
            with connection:
                answer = await ask(connection, "/slow", DOWNLOAD_TIMEOUT_S, self.arguments.bytes)
                download["node"] = answer.node
                self._one_connected()
                await answer.rest(self.arguments.silence_s)
            download["state"] = "complete"
        except (OSError, BrokenAnswerError) as error:
            download["state"], download["error"] = "broken", reason(error)
            if answer is None:
                self._one_connected()
        finally:
            download["end"] = now()
            download["bytes"] = answer.received if answer else 0

    def _one_connected(self) -> None:
        self.connecting -= 1
        if not self.connecting:
            self.ready.set()

    def result(self) -> dict[str, Any]:
        """How many ended in which state, then each one."""
        states = [download["state"] for download in self.downloads]
        return {
            "mode": "downloads",
            "downloads": len(self.downloads),
            "complete": states.count("complete"),
            "broken": states.count("broken"),
            "unfinished": states.count("unfinished"),
            "bytes": sum(download["bytes"] for download in self.downloads),
            "each": self.downloads,
        }


def sources(arguments: argparse.Namespace) -> list[str]:
    """The clients' addresses: `count` of them, from the first one upwards."""
    return [str(arguments.first + number) for number in range(arguments.count)]


def _experience(one: Experience) -> dict[str, Any]:
    return {
        "requests": one.requests,
        "failed": one.failed,
        "nodes": dict(one.nodes),
        "gap_ms": one.outage_s * 1000,
        "gap": one.outage if one.failed else None,
        "failures": one.failures,
    }


async def measure(mode: Requests | Downloads, seconds: float) -> None:
    """Run until the end, the time limit or SIGTERM, whichever comes first, and print ready and result."""
    running = asyncio.create_task(mode.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    announcing = asyncio.create_task(_announce(mode.ready))
    with contextlib.suppress(asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(seconds):
            await running
    announcing.cancel()
    print(json.dumps({"event": "result", **mode.result()}), flush=True)


async def _announce(ready: asyncio.Event) -> None:
    await ready.wait()
    print(json.dumps({"event": "ready"}), flush=True)


def main() -> None:
    """Entry of `python -m lab.clients`."""
    parser = argparse.ArgumentParser(prog="lab.clients", description="Measuring HTTP clients.")
    parser.add_argument("mode", choices=("requests", "downloads"))
    parser.add_argument("--target", required=True, help="the address to ask, usually a VIP")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--first", type=ip_address, required=True, help="the first source address")
    parser.add_argument("--count", type=int, default=64, help="how many source addresses")
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit")
    parser.add_argument("--interval-ms", type=float, default=50.0, help="from one request's start to the next")
    parser.add_argument("--timeout-ms", type=float, default=100.0, help="for a connection; see lab/fetch.py")
    parser.add_argument("--answer-ms", type=float, default=300.0, help="for the answer, once connected")
    parser.add_argument("--log", type=argparse.FileType("w", bufsize=1), help="one JSON line per request, to this file")
    parser.add_argument("--downloads", type=int, default=64)
    parser.add_argument("--bytes", type=int, default=2_000_000, help="how much of the file each download takes")
    parser.add_argument("--silence-s", type=float, default=5.0, help="a download without a byte for so long is broken")
    arguments = parser.parse_args()

    async def run() -> None:
        mode = Requests(arguments, arguments.log) if arguments.mode == "requests" else Downloads(arguments)
        await measure(mode, arguments.seconds)

    asyncio.run(run())


if __name__ == "__main__":
    main()
