"""What farmd answers on its control socket, verb by verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farmd import status
from farmd.core.events import Command
from farmd.errors import MachineError

if TYPE_CHECKING:
    from farmd.daemon import Daemon


class Answers:
    """Answers for one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request; MachineError, with a sentence, if it makes no sense here."""
        verb = request["verb"]
        match verb:
            case "status":
                return status.snapshot(self._daemon)
            case "buckets":
                return status.buckets(self._daemon)
            case "drain" | "undrain":
                return self._command(Command(self._node(request), drained=verb == "drain"))
            case "weight":
                return self._command(Command(self._node(request), weight=_weight(request)))
        raise MachineError(f"farmd knows no verb {verb}")

    def _command(self, command: Command) -> dict[str, Any]:
        self._daemon.step(command)
        self._daemon.schedule()
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
