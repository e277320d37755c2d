"""Connections to HOST:PORT, where the host may be a name."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator

STREAM_BYTES_MAX = 1 << 16
"""What is buffered of an answer, and so the longest header."""

TLS_END_WITHIN_S = 1.0

_lookups: dict[tuple[str, int], asyncio.Future[list[str]]] = {}
"""Look-ups under way. One that hangs occupies a thread, whoever gave up waiting; so there is one a name at most."""


@contextlib.asynccontextmanager
async def connected(
    host: str, port: int, tls: ssl.SSLContext | None = None, server_name: str | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the first of the host's addresses that accepts one; OSError if none does."""
    reader, writer = await _connect(host, port, tls, server_name if tls else None)
    try:
        yield reader, writer
    except BaseException:
        writer.transport.abort()
        raise
    writer.close()  # what TLS still has to say at its end is said without us


async def _connect(
    host: str, port: int, tls: ssl.SSLContext | None, server_name: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    failed: OSError | None = None
    for address in await _addresses(host, port):
        try:
            return await asyncio.open_connection(
                address,
                port,
                ssl=tls,
                server_hostname=server_name,
                ssl_shutdown_timeout=TLS_END_WITHIN_S if tls else None,
                limit=STREAM_BYTES_MAX,
            )
        except OSError as error:
            failed = error
    assert failed is not None, "a look-up without an address is an error of its own"
    raise failed


async def _addresses(host: str, port: int) -> list[str]:
    lookup = _lookups.get((host, port))
    if lookup is None:
        lookup = asyncio.get_running_loop().run_in_executor(None, _look_up, host, port)
        _lookups[host, port] = lookup
        lookup.add_done_callback(functools.partial(_forget, (host, port)))
    return await asyncio.shield(lookup)


def _forget(key: tuple[str, int], lookup: asyncio.Future[list[str]]) -> None:
    del _lookups[key]
    lookup.exception()  # seen, also if nobody waits for it any more


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address) for *_, (address, *_) in found]
