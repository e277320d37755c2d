"""One HTTP GET from a chosen source address, on a connection of its own, on plain non-blocking sockets.

A SYN that nobody answers is sent again by TCP only after a second (RFC 6298, 2.1), which would hide every shorter
outage. So the caller gives the connection a short time, about 100 ms, and tries again with a new one.
"""

import asyncio
import socket
import time
from dataclasses import dataclass

IP_BIND_ADDRESS_NO_PORT = 24
"""linux/in.h: choose the port at connect(), so that ports are shared between destinations."""

HEADER_BYTES_MAX = 16_384


class BrokenAnswerError(Exception):
    """The answer did not come whole; the text says how it failed."""


@dataclass(slots=True)
class Answer:
    """An answer whose header has arrived and whose body may still be on its way."""

    connection: socket.socket
    node: str
    """Header X-Node: who answers."""
    length: int
    """Content-Length: bytes of body in all."""
    received: int
    """Bytes of body that have arrived."""

    async def rest(self, silence_s: float) -> None:
        """Receive the rest of the body; BrokenAnswerError if it ends early or nothing comes for `silence_s`."""
        loop = asyncio.get_running_loop()
        while self.received < self.length:
            async with asyncio.timeout(silence_s):
                chunk = await loop.sock_recv(self.connection, 262_144)
            if not chunk:
                raise BrokenAnswerError(f"closed after {self.received} of {self.length} bytes")
            self.received += len(chunk)


async def connect(source: str, target: str, port: int, timeout_s: float) -> socket.socket:
    """A connection from `source`, any port; OSError or TimeoutError if there is none in time."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((source, 0))
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(connection, (target, port))
    except BaseException:
        connection.close()
        raise
    return connection


async def ask(connection: socket.socket, path: str, timeout_s: float, first_bytes: int | None = None) -> Answer:
    """Send the request and read the header; `first_bytes` asks for that much of the body only (RFC 9110, 14.2).

    BrokenAnswerError if the status is no success, or the header is not that of the lab's nginx.
    """
    loop = asyncio.get_running_loop()
    wanted = f"Range: bytes=0-{first_bytes - 1}\r\n" if first_bytes else ""
    request = f"GET {path} HTTP/1.1\r\nHost: farm\r\nConnection: close\r\n{wanted}\r\n"
    answer = b""
    async with asyncio.timeout(timeout_s):
        await loop.sock_sendall(connection, request.encode())
        while b"\r\n\r\n" not in answer:
            chunk = await loop.sock_recv(connection, 65_536)
            if not chunk or len(answer) > HEADER_BYTES_MAX:
                raise BrokenAnswerError(f"no header in {len(answer)} bytes")
            answer += chunk
    header, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = header.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if not status.startswith("HTTP/1.1 20"):
        raise BrokenAnswerError(status)
    if "x-node" not in fields or not fields.get("content-length", "").isdigit():
        raise BrokenAnswerError("an answer without X-Node or Content-Length")
    return Answer(connection, fields["x-node"], int(fields["content-length"]), len(body))


def now() -> float:
    """Seconds of CLOCK_MONOTONIC, which all processes of the machine share."""
    return time.monotonic()


def reason(error: Exception) -> str:
    """A failure in a word or two, the same for the same cause."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, BrokenAnswerError):
        return str(error)
    return type(error).__name__
