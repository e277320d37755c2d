"""What a request on the control socket asks of a farm and of a mirror alike. MachineError says what makes no sense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from farmd.core.supervisor_events import Wish
from farmd.errors import MachineError
from farmd.kit.events import KEPT
from farmd.supervision.schema import Service


def last(request: dict[str, Any]) -> int:
    """How many events."""
    count = request.get("last", KEPT)
    if type(count) is not int or count < 1:
        raise MachineError("the number of events is a whole number, at least 1")
    return count


def wish(request: dict[str, Any], known: Sequence[Service], scope: str) -> Wish:
    """To start, stop or restart a service. scope: whose services are known, "farm web"."""
    name = request.get("service")
    for service in known:
        if service.name == name and not service.managed:
            raise MachineError(f"service {name} is only watched here (managed = false)")
        if service.name == name:
            return Wish(service.name, request["verb"])
    names = ", ".join(service.name for service in known if service.managed) or "none"
    raise MachineError(f"{scope} has no service {name}; it has {names}")
