"""What mirrord answers on its control socket, verb by verb."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from farmd import asked
from farmd.core.supervisor_events import Wish as ServiceWish
from farmd.errors import MachineError
from farmd.health import looked_after
from farmd.kit.control_server import Lines
from mirrord import status
from mirrord.core.events import Promote, Resync, Start, Stop, Swap, Verify, Wish

if TYPE_CHECKING:
    from mirrord.daemon import Daemon


class Answers:
    """Answers for one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def answer(self, request: dict[str, Any]) -> dict[str, Any] | Lines:
        """The answer to one request; MachineError, with a sentence, if it makes no sense here."""
        verb = request["verb"]
        match verb:
            case "status":
                return status.snapshot(self._daemon)
            case "watch":
                return self._daemon.watching.lines()
            case "events":
                return {"events": self._daemon.events.newest(asked.last(request))}
            case "checks":
                return looked_after(self._daemon.application.core, self._daemon.config, time.monotonic_ns())
            case "start" | "stop" | "restart" if "service" in request:
                config = self._daemon.config
                return self._of_service(asked.wish(request, config.services, f"mirror {config.mirror.name}"))
            case "start":
                return self._wish(Start())
            case "stop":
                return self._wish(Stop())
            case "swap":
                return self._wish(Swap())
            case "promote":
                return self._wish(Promote(force=request.get("force") is True))
            case "resync":
                return self._wish(Resync())
            case "verify":
                return self._wish(Verify())
            case "looked":
                return {"folder": await asyncio.to_thread(self._daemon.seen.looked)}
        raise MachineError(f"{verb} is not for mirrors, and {self._daemon.config.mirror.name} is one")

    def _wish(self, wish: Wish) -> dict[str, Any]:
        """What happens because of it takes its time; the status tells."""
        objection = self._daemon.core.objection(time.monotonic_ns(), wish)
        if objection:
            raise MachineError(objection)
        self._daemon.remark(f"an operator orders: {type(wish).__name__.lower()}")
        self._daemon.step(wish)
        return {"at": time.time()}

    def _of_service(self, wish: ServiceWish) -> dict[str, Any]:
        self._daemon.application.wish(wish)
        return {"at": time.time()}
