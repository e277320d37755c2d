"""The control socket, the daemon's end: any number of requests a client, one JSON object a line.

An answer is one line, or a stream of lines for as long as the client reads them.

Only root and the daemon's group are heard, by the permissions of the socket file and, should these be loosened, by the
kernel's word about the peer (SO_PEERCRED, unix(7)). Every client has its own task and every wait its limit, so that one
that is slow, malformed or gone disturbs nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import json
import logging
import os
import socket
import stat
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from farmd.errors import FarmError, MachineError, Malformed

Lines = AsyncGenerator[dict[str, Any], None]
"""An answer of many lines. It is closed when its client goes, and not asked for a line while the client has yet to read
earlier ones; so what it says is never older than what the client can take."""

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | Lines]]
"""Answers one request, which has a string "verb". A FarmError it raises is told to the client as its sentence."""

REQUEST_BYTES_MAX = 64 * 1024
"""The longest request line; a client that sends more is told so and cut off."""

CLIENTS_MAX = 32
"""The most clients at a time; one more is told so and cut off."""

_SO_PEERGROUPS = 59  # <asm-generic/socket.h>; Python has no name for it
_GROUPS_BYTES_MAX = 1024  # the most that socket.getsockopt hands over: 256 groups

log = logging.getLogger(__name__)


class ControlServer:
    """Listens at one path until closed."""

    def __init__(self, path: Path, handler: Handler, *, group: str = "farmd", idle_s: float = 30.0) -> None:
        """group: whose members may ask besides root, if the system has it.

        idle_s: how long a client may take to send a whole request, or to accept an answer, before it is cut off.
        """
        self._path = path
        self._handler = handler
        self._group = group
        self._gid = _gid(group)
        self._idle_s = idle_s
        self._clients: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def start(self) -> None:
        """Listen. Raises MachineError when another daemon already does, or the path cannot be used."""
        try:
            listener = _bind(self._path, 0 if self._gid is None else self._gid)
        except OSError as error:
            raise MachineError(f"the control socket {self._path} cannot be made: {error.strerror or error}") from None
        self._inode = self._path.stat().st_ino
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=REQUEST_BYTES_MAX)

    async def close(self) -> None:
        """Stop listening, cut off the clients and remove the socket file, unless a successor has replaced it."""
        if self._server is None:
            return
        self._server.close()
        clients = list(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            refusal = self._refusal(writer.get_extra_info("socket"))
            if refusal:
                await self._send(writer, _failure(refusal))
            else:
                await self._converse(reader, writer)
        except (ConnectionError, TimeoutError):
            pass  # the client is gone, or too slow to be told anything
        finally:
            if writer.transport.get_write_buffer_size() > 0:
                writer.transport.abort()  # close() would wait for a client that does not read
            writer.close()

    def _refusal(self, connection: socket.socket) -> str | None:
        if len(self._clients) > CLIENTS_MAX:
            return f"{CLIENTS_MAX} clients are connected already"
        if not _may_ask(connection, self._gid):
            return f"permission denied: only root and the group {self._group} may ask"
        return None

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other until the client leaves or makes no sense any more."""
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    line = await reader.readline()
            except ValueError:  # how readline() says that its limit was passed; where the next line begins is unknown
                await self._send(writer, _failure(f"a request may have at most {REQUEST_BYTES_MAX} bytes"))
                return
            if not line.endswith(b"\n"):
                return
            async with contextlib.aclosing(self._answer(line)) as answer:
                async for said in answer:
                    await self._send(writer, said)

    async def _answer(self, line: bytes) -> AsyncGenerator[bytes, None]:
        try:
            answer = await self._handler(_request(line))
            if isinstance(answer, dict):
                yield _line({"ok": True, **answer})
                return
            async with contextlib.aclosing(answer) as lines:
                async for one in lines:
                    yield _line({"ok": True, **one})
        except FarmError as error:
            yield _failure(str(error))
        except Exception:
            log.exception("control request failed")
            yield _failure("the request failed inside the daemon; its log says why")

    async def _send(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        writer.write(answer)
        async with asyncio.timeout(self._idle_s):
            await writer.drain()


def _request(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Malformed("a request is one JSON object on one line") from None
    if not isinstance(request, dict) or not isinstance(request.get("verb"), str):
        raise Malformed('a request is a JSON object with a "verb"')
    return request


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")  # Python reads NaN and Infinity, the standard has neither (RFC 8259)


def _failure(sentence: str) -> bytes:
    return _line({"ok": False, "error": sentence})


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def _may_ask(connection: socket.socket, gid: int | None) -> bool:
    """Root, the daemon's own user (who could do worse without asking) and the group's members."""
    credentials = struct.Struct("3i")  # struct ucred: pid, uid, gid
    _, peer_uid, peer_gid = credentials.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    )
    if peer_uid in (0, os.geteuid()):
        return True
    return gid is not None and gid in (peer_gid, *_peer_groups(connection))


def _peer_groups(connection: socket.socket) -> tuple[int, ...]:
    """The peer's supplementary groups as the kernel knows them; a look-up by name could wait for a directory server."""
    try:
        groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES_MAX)
    except OSError:
        return ()
    return struct.unpack(f"{len(groups) // 4}I", groups)


def _bind(path: Path, gid: int) -> socket.socket:
    """A socket at the path, mode 0660; a dead daemon's is replaced. Nobody can connect before it listens."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _refuse_to_replace(path)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        if os.geteuid() == 0:
            os.chown(path, 0, gid)
        path.chmod(0o660)
    except OSError:
        listener.close()
        raise
    return listener


def _refuse_to_replace(path: Path) -> None:
    """Raise MachineError unless the path is free or holds a socket that nobody listens to."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise MachineError(f"{path} is in the way: it is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass  # somebody listens, with a full queue
    raise MachineError(f"another daemon already listens at {path}")
