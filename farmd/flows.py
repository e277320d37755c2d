"""Established flows that live here in buckets of others: what a drain waits for.

Reads the kernel's table of TCP sockets (proc_net_tcp in the kernel's documentation) a few lines at a time, since a busy
server has many of them and the heartbeats do not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import NamedTuple

from farmd.config import Rule
from farmd.core.hashing import Affinity, bucket_of

Address = IPv4Address | IPv6Address

LINES_AT_ONCE = 100
LISTEN = 0x0A
TIME_WAIT = 0x06


class Flow(NamedTuple):
    """One TCP connection to a VIP."""

    vip: Address
    vip_port: int
    client: Address
    client_port: int


async def established(vips: Collection[Address]) -> AsyncIterator[Flow]:
    """Every connection to one of these addresses that still has something to say."""
    for path in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(FileNotFoundError), path.open() as table:
            next(table)
            for number, line in enumerate(table, 1):
                flow = _parse(line)
                if flow is not None and flow.vip in vips:
                    yield flow
                if number % LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)


async def any_elsewhere(vips: Collection[Address], rules: tuple[Rule, ...], key: bytes, ours: Collection[int]) -> bool:
    """Whether a connection lives here whose bucket is not one of `ours`."""
    affinities: dict[int, Affinity] = {
        port: rule.affinity for rule in rules if rule.protocol == "tcp" for port in rule.ports
    }
    async for flow in established(vips):
        affinity = affinities.get(flow.vip_port, "client")
        if bucket_of(key, flow.client, flow.client_port, flow.vip_port, affinity) not in ours:
            return True
    return False


def _parse(line: str) -> Flow | None:
    _, local, remote, state, *_ = line.split()
    if int(state, 16) in (LISTEN, TIME_WAIT):
        return None
    return Flow(*_endpoint(local), *_endpoint(remote))


def _endpoint(text: str) -> tuple[Address, int]:
    """An address in the kernel's notation: 32-bit words in the byte order of this machine, in hexadecimal."""
    digits, port = text.split(":")
    words = bytes.fromhex(digits)
    packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
    if len(packed) == 4:
        return IPv4Address(packed), int(port, 16)
    address = IPv6Address(packed)
    return address.ipv4_mapped or address, int(port, 16)
