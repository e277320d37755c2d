"""What one client may take from the others: nothing. Every connection has a limit in time and bytes, and all of them
together in number.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import OrderedDict
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CONNECTIONS_MAX = 500
"""Open at a time; for one more, the one that has been idle for the longest is closed. Half of what a process may have
open by default (RLIMIT_NOFILE)."""
REQUEST_BYTES_MAX = 16 * 1024
"""Of a request, its body included, which is of no use here."""
IDLE_S = 15
"""For a whole request, and between two."""
RESET = struct.pack("ii", 1, 0)
"""struct linger: on, for 0 seconds."""


class Crowd:
    """All connections, those that wait for the longest first."""

    def __init__(self, connections_max: int = CONNECTIONS_MAX, idle_s: float = IDLE_S) -> None:
        self._connections_max = connections_max
        self._idle_s = idle_s
        self._since_s: OrderedDict[Connection, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._since_s)

    def enter(self, connection: Connection) -> None:
        """A new connection, at the cost of the idlest one if there are too many."""
        self.refresh(connection)
        if len(self) > self._connections_max:
            next(iter(self._since_s)).cut()

    def refresh(self, connection: Connection) -> None:
        """It has just come, or got an answer."""
        self._since_s[connection] = time.monotonic()
        self._since_s.move_to_end(connection)

    def leave(self, connection: Connection) -> None:
        """It is gone."""
        self._since_s.pop(connection, None)

    async def sweep(self) -> None:
        """Cuts off who takes too long, until cancelled."""
        while True:
            await asyncio.sleep(self._idle_s / 10)
            late_s = time.monotonic() - self._idle_s
            for connection in [connection for connection, since_s in self._since_s.items() if since_s < late_s]:
                connection.cut()


class Connection(HttpToolsProtocol):
    """uvicorn's connection, within limits."""

    def __init__(self, crowd: Crowd, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._crowd = crowd
        self._request_bytes = 0

    def cut(self) -> None:
        """End it now, with a reset (socket(7), SO_LINGER): what was sent to a client that does not read would stay in
        the kernel's memory for minutes.
        """
        self._crowd.leave(self)
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._crowd.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._request_bytes += len(data)
        if self._request_bytes > REQUEST_BYTES_MAX:
            self.cut()
        else:
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Who asks again before the answer has come (pipelining, RFC 9112, 9.3.2) is no health check."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cut()
        super().on_message_begin()

    def on_response_complete(self) -> None:
        self._request_bytes = 0
        self._crowd.refresh(self)
        super().on_response_complete()
