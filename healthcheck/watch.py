"""One farm or mirror of this node, as its daemon tells it: a connection to the control socket, and its newest words.

The daemon stamps every line with the machine's clock, so how fresh a line is does not depend on when it is read. A
plain socket is used, since what has arrived must be at hand also when the loop is late: first read, then judge.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

from healthcheck.health import MIRROR, Health, Standing, judge
from healthcheck.tally import Tally

LINE_BYTES_MAX = 1 << 20
PATIENCE_S = 1.0
"""How long a daemon that refused is left alone."""
NS = 1_000_000_000

FARM = "farm"
DAEMONS = {FARM: "farmd", MIRROR: "mirrord"}

log = logging.getLogger("farm-health")


class Watch:
    """The connection is made by `connect` and made again after it has ended; nothing here ever waits."""

    def __init__(self, path: Path, kind: str = FARM, *, buckets: bool) -> None:
        """kind: farm or mirror, as far as one can know before the daemon has told. buckets: whether packets are to be
        counted by the owner of their bucket, for metrics.
        """
        self.path = path
        self.kind = kind
        self.status: dict[str, Any] | None = None
        """The newest, however old."""
        self.packets = Tally()
        self._request = json.dumps({"verb": "watch", "buckets": buckets}).encode() + b"\n"
        self._socket: socket.socket | None = None
        self._received = bytearray()
        self._said_ns = 0
        self._health = Health(Standing.FAILS)
        self._trouble = f"{DAEMONS[kind]} has not answered yet"
        self._retry_s = 0.0
        self._told: tuple[Standing, str] | None = None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def heard(self) -> bool:
        """Whether the daemon has ever told how it is, and with it of which kind."""
        return self.status is not None

    @property
    def _daemon(self) -> str:
        return DAEMONS[self.kind]

    @property
    def silence_s(self) -> float:
        """Since the daemon's last word; since the machine's start if there was none."""
        return (time.monotonic_ns() - self._said_ns) / NS

    @property
    def fresh(self) -> bool:
        """Whether the daemon has spoken within its lease: if it has not, its filter is closed, or about to be."""
        return self._socket is not None and self.status is not None and self.silence_s <= self.status["lease_s"]

    def health(self) -> Health:
        """The farm's health now. A daemon that is silent is not well, but what it has said is read first."""
        if not self.fresh:
            self.read()
        return self._health if self.fresh else Health(Standing.FAILS, self._trouble)

    def connect(self) -> None:
        """Ask the daemon, unless it is being listened to already."""
        if self._socket is not None or time.monotonic() < self._retry_s:
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(str(self.path))
            connection.send(self._request)
        except OSError as error:
            connection.close()
            self._trouble = f"{self._daemon} cannot be asked: {error.strerror}"
            return
        self._socket = connection
        self._trouble = f"{self._daemon} is silent"
        asyncio.get_running_loop().add_reader(connection, self.read)

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        self._socket = None
        self._received.clear()

    def read(self) -> None:
        """Take in all that has arrived."""
        while self._socket is not None:
            try:
                chunk = self._socket.recv(1 << 18)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            if chunk:
                self._take(chunk)
            else:
                self._give_up(f"{self._daemon} has ended")

    def remark(self) -> None:
        """A line in the log if the health is another one than at the last call."""
        health = self.health()
        told = (health.standing, health.reason)
        if told != self._told:
            standing = health.standing.name.lower().replace("_", " ")
            log.info("%s %s %s (%s)", self.kind, self.name, standing, health.reason or "all is well")
            self._told = told

    def _take(self, chunk: bytes) -> None:
        self._received += chunk
        *lines, rest = bytes(self._received).split(b"\n")
        self._received = bytearray(rest)
        try:
            for line in lines:
                self._hear(json.loads(line))
        except (ValueError, LookupError, TypeError, StopIteration, RecursionError):
            why = f"{self._daemon} gives answers that cannot be understood; is it of another version?"
            self._give_up(why, PATIENCE_S)
        if len(self._received) > LINE_BYTES_MAX:
            self._give_up(f"{self._daemon} gives an answer without an end", PATIENCE_S)

    def _hear(self, said: dict[str, Any]) -> None:
        if not said["ok"]:
            self._give_up(said["error"], PATIENCE_S)
            return
        if "alive" not in said:
            self._health, self.status = judge(said), said
            self.kind = MIRROR if said.get("kind") == MIRROR else FARM
            if "buckets" in said:
                self.packets.add(said["buckets"]["owners"], said["buckets"]["packets"])
        self._said_ns = said["said_ns"]

    def _give_up(self, trouble: str, pause_s: float = 0.0) -> None:
        self.close()
        self._trouble = trouble
        self._retry_s = time.monotonic() + pause_s
