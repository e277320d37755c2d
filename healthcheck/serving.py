"""Listening: sockets that are made before privileges go, and uvicorn's HTTP on them.

uvicorn's own server would handle signals for one application on one set of sockets; here are up to three kinds.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from email.utils import formatdate
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from farmd.errors import ConfigError
from farmd.kit.toml import Address
from healthcheck.limits import IDLE_S, Connection, Crowd
from healthcheck.settings import Tls

BACKLOG = 1024
HANDSHAKE_S = 5.0


def listen(key: str, port: int, addresses: tuple[Address, ...]) -> list[socket.socket]:
    """Listening sockets for a port; without addresses, on all of the machine's. ConfigError, with the key, if not."""
    try:
        if not addresses:
            family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
            both = family == socket.AF_INET6
            return [socket.create_server(("", port), family=family, dualstack_ipv6=both, backlog=BACKLOG)]
        families = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [
            socket.create_server((str(address), port), family=families[address.version], backlog=BACKLOG)
            for address in addresses
        ]
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                why = f"another program listens at {port} already"
            case errno.EACCES:
                why = f"{port} is a port for root"
            case errno.EADDRNOTAVAIL:
                why = f"one of {', '.join(map(str, addresses))} is not an address of this machine"
            case _:
                why = f"{port} cannot be listened at: {error.strerror}"
        raise ConfigError(key, why) from None


def secured(tls: Tls) -> ssl.SSLContext | None:
    """The server's end of TLS, None without; ConfigError with the key at fault."""
    if not tls.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except ssl.SSLError as error:
        raise ConfigError("tls", f"certificate and key make no pair of PEM files: {error.reason}") from None
    except OSError as error:
        raise ConfigError("tls", f"certificate and key cannot be read: {error.strerror}") from None
    return context


class Http:
    """One application on its sockets, from `start` until `close`."""

    def __init__(self, application: Any, crowd: Crowd) -> None:
        self._crowd = crowd
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self._config = Config(
            application,
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",  # what strangers send is no business of the log
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=IDLE_S,
            headers=[("Cache-Control", "no-store")],
        )

    async def start(self, sockets: list[socket.socket], context: ssl.SSLContext | None = None) -> None:
        """Answer from now on."""
        self._config.load()
        self.date()
        for sock in sockets:
            handshake_s = None if context is None else HANDSHAKE_S
            server = await asyncio.get_running_loop().create_server(
                self._connection, sock=sock, ssl=context, backlog=BACKLOG, ssl_handshake_timeout=handshake_s
            )
            self._servers.append(server)

    def date(self) -> None:
        """Due each second: the Date of the answers (RFC 9110, 6.6.1)."""
        date = formatdate(usegmt=True).encode()
        self._state.default_headers = [(b"date", date), *self._config.encoded_headers]

    def close(self) -> None:
        """Listen no more, and close the connections."""
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.shutdown()

    def _connection(self) -> Connection:
        return Connection(self._crowd, config=self._config, server_state=self._state, app_state={})
