"""What farmd answers on its control socket, verb by verb."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from farmd import asked, status
from farmd.core.events import Command
from farmd.core.supervisor_events import Wish
from farmd.errors import MachineError
from farmd.health import looked_after
from farmd.kit.control_server import Lines

if TYPE_CHECKING:
    from farmd.daemon import Daemon


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
            case "buckets":
                return status.buckets(self._daemon)
            case "watch":
                return self._daemon.watching.lines(with_buckets=request.get("buckets") is True)
            case "drain" | "undrain":
                return self._command(Command(self._node(request), drained=verb == "drain"))
            case "weight":
                return self._command(Command(self._node(request), weight=_weight(request)))
            case "start" | "stop" | "restart":
                config = self._daemon.config
                return self._wish(asked.wish(request, config.services, f"farm {config.farm.name}"))
            case "checks":
                return looked_after(self._daemon.supervising.core, self._daemon.config, time.monotonic_ns())
            case "events":
                return {"events": self._daemon.events.newest(asked.last(request))}
            case "swap" | "promote" | "resync" | "verify" | "looked":
                raise MachineError(f"{verb} is for mirrors, and {self._daemon.config.farm.name} is a farm")
        raise MachineError(f"farmd knows no verb {verb}")

    def _command(self, command: Command) -> dict[str, Any]:
        self._daemon.step(command)
        self._daemon.schedule()
        return {"epoch": str(self._daemon.core.follower.installed)}

    def _wish(self, wish: Wish) -> dict[str, Any]:
        if self._daemon.core.leaving:
            raise MachineError("farmd is about to end; services follow its orders only while it stays")
        self._daemon.wish(wish)
        return {"epoch": str(self._daemon.core.follower.installed)}

    def _node(self, request: dict[str, Any]) -> int:
        name = request.get("node")
        config = self._daemon.config
        for node in config.nodes:
            if node.name == name:
                return node.id
        names = ", ".join(node.name for node in config.nodes)
        raise MachineError(f"farm {config.farm.name} has no node {name}; it has {names}")


def _weight(request: dict[str, Any]) -> int:
    weight = request.get("weight")
    if type(weight) is not int or not 0 <= weight <= 1000:
        raise MachineError("a weight is a whole number from 0 to 1000")
    return weight
