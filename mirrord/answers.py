"""What mirrord answers on its control socket, verb by verb."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from farmd.core.supervisor_events import Wish as ServiceWish
from farmd.errors import MachineError
from farmd.health import checks, services
from farmd.kit.control_server import Lines
from farmd.kit.events import KEPT
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
                return {"events": self._daemon.events.newest(_last(request))}
            case "checks":
                return self._checks()
            case "start" | "stop" | "restart" if "service" in request:
                return self._of_service(ServiceWish(self._service(request), verb))
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

    def _checks(self) -> dict[str, Any]:
        now_ns = time.monotonic_ns()
        config, supervisor = self._daemon.config, self._daemon.application.core
        return {
            "services": services(supervisor, config.services, now_ns),
            "checks": checks(supervisor, config.services, config.checks, now_ns),
        }

    def _service(self, request: dict[str, Any]) -> str:
        name, known = request["service"], self._daemon.config.services
        for service in known:
            if service.name == name and not service.managed:
                raise MachineError(f"service {name} is only watched here (managed = false)")
            if service.name == name:
                return service.name
        names = ", ".join(service.name for service in known if service.managed) or "none"
        raise MachineError(f"mirror {self._daemon.config.mirror.name} has no service {name}; it has {names}")


def _last(request: dict[str, Any]) -> int:
    last = request.get("last", KEPT)
    if type(last) is not int or last < 1:
        raise MachineError("the number of events is a whole number, at least 1")
    return last
