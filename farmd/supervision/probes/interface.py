"""interface: one that is up, has a carrier, and has an address."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct

from farmd.kit.toml import Address
from farmd.supervision.failure import Failure

_SIOCGIFFLAGS = 0x8913
_IFREQ = struct.Struct("16sH22x")
_IFF_UP = 0x1
_IFF_RUNNING = 0x40


class InterfaceProbe:
    """Asks the kernel in this process' network namespace, which /sys need not show."""

    late = "no answer"

    def __init__(self, name: str, address: Address | None) -> None:
        self._name = name
        self._address = address

    async def look(self) -> str:
        flags = _flags(self._name)
        if not flags & _IFF_UP:
            raise Failure(f"{self._name} is down")
        if not flags & _IFF_RUNNING:
            raise Failure(f"{self._name} has no carrier")
        if self._address is None:
            return "up, with carrier"
        from farmd.links import own_addresses  # netlink is only for those who ask for an address

        holder = (await asyncio.to_thread(own_addresses)).get(self._address)
        if holder != self._name:
            raise Failure(f"{self._name} has no address {self._address}" + (f"; {holder} has it" if holder else ""))
        return f"up, with carrier and {self._address}"


def _flags(name: str) -> int:
    """The flags of an interface, netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, _SIOCGIFFLAGS, _IFREQ.pack(name.encode(), 0))
        except OSError:
            raise Failure(f"there is no interface {name}") from None
    _, flags = _IFREQ.unpack(answer)
    return int(flags)
