"""http: a URL that answers as wanted (RFC 9110, RFC 9112). Redirects are answers, and not followed."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator

from farmd.supervision.failure import Failure
from farmd.supervision.probes.connections import STREAM_BYTES_MAX, connected
from farmd.supervision.schema import Check
from farmd.supervision.targets import authority, status_codes, url

BODY_BYTES_MAX = 1 << 16
"""The text is looked for in so much of the answer."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r]")
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*(?:[^\r]*,[ \t]*)?chunked[ \t]*\r", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r", re.IGNORECASE)


class HttpProbe:
    """Sends a GET. The status says whether the answer is right, and where a text is wanted, the body."""

    late = "no answer"

    def __init__(self, check: Check) -> None:
        self._url = url(check.http)
        self._wanted = check.status
        self._codes = status_codes(check.status)
        self._text = check.text
        self._request = (
            f"GET {self._url.path} HTTP/1.1\r\nHost: {check.host or self._url.authority}\r\n"
            "User-Agent: farmd\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        ).encode()
        self._tls = _context(verify=check.verify) if self._url.tls else None
        self._server_name = authority(check.host)[0] if check.host else self._url.host

    async def look(self) -> str:
        async with connected(self._url.host, self._url.port, self._tls, self._server_name) as (reader, writer):
            writer.write(self._request)
            header = await _header(reader)
            code = int(header[9:12])
            if code not in self._codes:
                raise Failure(f"status {code}, wanted {self._wanted}")
            if self._text:
                await self._find_text(_body(reader, header))
            return f"status {code}"

    async def _find_text(self, body: AsyncIterator[bytes]) -> None:
        wanted, seen = self._text.encode(), b""
        async for part in body:
            seen += part
            if wanted in seen[:BODY_BYTES_MAX]:
                return
            if len(seen) >= BODY_BYTES_MAX:
                break
        raise Failure(f"the text {self._text[:40]!r} is not in the answer")


async def _header(reader: asyncio.StreamReader) -> bytes:
    """The final answer's status line and header; interim ones (100 to 199) come before it."""
    while True:
        try:
            header = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise Failure(f"the answer's header is longer than {STREAM_BYTES_MAX >> 10} KiB") from None
        except asyncio.IncompleteReadError as error:
            raise Failure("the answer is not HTTP" if error.partial else "closed without an answer") from None
        found = _STATUS_LINE.match(header)
        if not found:
            raise Failure("the answer is not HTTP")
        if not found[1].startswith(b"1"):
            return header


async def _body(reader: asyncio.StreamReader, header: bytes) -> AsyncIterator[bytes]:
    """The body, in parts, as far as it comes."""
    if _CHUNKED.search(header):
        parts = _chunks(reader)
    else:
        length = _LENGTH.search(header)
        parts = _plain(reader, int(length[1]) if length else BODY_BYTES_MAX)
    async for part in parts:
        yield part


async def _plain(reader: asyncio.StreamReader, left: int) -> AsyncIterator[bytes]:
    while left > 0 and (part := await reader.read(min(left, BODY_BYTES_MAX))):
        left -= len(part)
        yield part


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """RFC 9112, section 7.1."""
    try:
        while left := int((await reader.readline()).split(b";")[0], 16):
            async for part in _plain(reader, left):
                left -= len(part)
                yield part
            if left or await reader.readexactly(2) != b"\r\n":
                return
    except (ValueError, asyncio.IncompleteReadError):
        return


def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
