"""The volume's line to its daemon: orders come in, reports go out, neither ever waits for the other end."""

from __future__ import annotations

import socket
from collections.abc import Callable

from mirrord import orders
from mirrord.orders import Alive, Order, Report
from mirrord.volume.loop import Loop

UNSENT_BYTES_MAX = 1 << 20
"""A daemon that does not read misses signs of life; everything else waits for it."""


class Parent:
    """Both directions of the line."""

    def __init__(
        self,
        line: socket.socket,
        loop: Loop,
        obey: Callable[[Order, int], None],
        gone: Callable[[], None],
        received: bytes,
    ) -> None:
        """obey: takes an order and its number; gone: called when the daemon has closed its end, or is no more;
        received: what of the line has been read already."""
        line.setblocking(False)
        self._line = line
        self._loop = loop
        self._obey = obey
        self._gone = gone
        self._received = received
        self._unsent = bytearray()
        loop.watch(line.fileno(), self._receive)
        loop.post(lambda: self._take(b""))

    def report(self, report: Report, number: int = 0) -> None:
        """Tells the daemon. `number` is that of the order which a Done answers."""
        if isinstance(report, Alive) and len(self._unsent) > UNSENT_BYTES_MAX:
            return
        self._unsent += orders.encode(report, number)
        self._send()

    def _send(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._line.send(self._unsent)]
        except BlockingIOError:
            self._loop.watch_room(self._line.fileno(), self._send)
        except OSError:
            self._unsent.clear()  # that it is gone, the other direction tells
        else:
            self._loop.watch_room(self._line.fileno(), None)

    def _receive(self) -> None:
        try:
            received = self._line.recv(orders.LINE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if received:
            self._take(received)
        else:
            self._gone()

    def _take(self, received: bytes) -> None:
        *lines, self._received = (self._received + received).split(b"\n")
        for line in lines:
            order, number = orders.decode(line)
            assert isinstance(order, Order), f"{order} is no order"
            self._obey(order, number)
