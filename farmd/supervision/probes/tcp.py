"""tcp: HOST:PORT that accepts connections."""

from __future__ import annotations

from farmd.supervision.probes.connections import connected
from farmd.supervision.targets import host_and_port


class TcpProbe:
    """Connects, and closes again."""

    late = "no answer"

    def __init__(self, target: str) -> None:
        self._host, self._port = host_and_port(target)

    async def look(self) -> str:
        async with connected(self._host, self._port):
            return "accepts connections"
