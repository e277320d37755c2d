"""ping: addresses that answer an echo request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Literal

from farmd.kit.toml import Address
from farmd.witness import Witness


class PingProbe:
    """Asks all addresses at once, and once; any or all of them must answer."""

    def __init__(self, addresses: Iterable[Address], *, needs: Literal["any", "all"]) -> None:
        self._addresses = tuple(addresses)
        self._enough = 1 if needs == "any" else len(self._addresses)
        self._silent: set[Address] = set()

    async def look(self) -> str:
        self._silent = set(self._addresses)
        with contextlib.ExitStack() as sockets:
            enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            for address in self._addresses:
                self._ask(address, enough, sockets)
            await enough
        return f"{len(self._addresses) - len(self._silent)} of {len(self._addresses)} answer"

    @property
    def late(self) -> str:
        return f"no answer from {', '.join(str(address) for address in self._addresses if address in self._silent)}"

    def _ask(self, address: Address, enough: asyncio.Future[None], sockets: contextlib.ExitStack) -> None:
        # Sockets of its own for every try: what came before, or to others, is not in their queues.
        loop, asking = asyncio.get_running_loop(), Witness((address,))
        sockets.callback(asking.close)
        for sock in asking.sockets:
            loop.add_reader(sock, self._take, address, asking, enough)
            sockets.callback(loop.remove_reader, sock)
        asking.probe(time.monotonic_ns())

    def _take(self, address: Address, asked: Witness, enough: asyncio.Future[None]) -> None:
        if any(asked.answers()):
            self._silent.discard(address)
        if len(self._addresses) - len(self._silent) >= self._enough and not enough.done():
            enough.set_result(None)
