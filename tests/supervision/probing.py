"""Probes under test: tried once, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from farmd.core.supervision_events import Probed
from farmd.supervision.prober import Prober
from farmd.supervision.probes import probe
from farmd.supervision.schema import Check

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def tried(check: Check) -> Probed:
    """The result of one try, as it would be reported."""
    result: asyncio.Future[Probed] = asyncio.get_running_loop().create_future()
    prober = Prober(check.name, 3600, check.timeout_s, 1.0, result.set_result)
    task = asyncio.create_task(prober.run(probe(check, prober.wake)))
    try:
        return await result
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def server(serve: Serve, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A TCP server on loopback; HOST:PORT."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    listening = await asyncio.start_server(one, host, 0, ssl=tls)
    host, port = listening.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        listening.close()


def answering(*parts: bytes) -> Serve:
    """A server that reads a request and sends this, part by part."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()

    return serve


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that accepts and never answers."""
    await reader.read()
