"""What a service can be: commands, an OCF resource agent, or a systemd unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from farmd.supervision.applications.command import CommandApplication, agent, commands
from farmd.supervision.applications.unit import UnitApplication
from farmd.supervision.containment import Containment
from farmd.supervision.schema import Service


class Application(Protocol):
    """Something that can be started, looked at and stopped. Each raises Failure, or OSError, when it does not work out.

    Time limits are the caller's: what takes too long is cancelled.
    """

    @property
    def late(self) -> str:
        """What is to be said when a look takes too long."""

    async def look(self) -> str:
        """In a few words how it is, if it is alive. Its death from here on wakes whoever looks."""

    async def start(self) -> None:
        """Returns when it has started."""

    async def stop(self) -> None:
        """Asks it to end, and returns when it has."""

    async def kill(self) -> None:
        """Ends it without asking, and returns when nothing of it is left."""

    def forget(self) -> None:
        """It has stopped: leaves nothing behind."""


def application(service: Service, containment: Containment, wake: Callable[[], None], *, outlives: bool) -> Application:
    """The application that a service is. `wake`: to be called when it may have died. outlives: it may live on when
    farmd ends.
    """
    if service.unit:
        return UnitApplication(service, wake, outlives=outlives)
    contained = containment.service(service.name)
    actions = agent(service) if service.ocf else commands(service)
    return CommandApplication(service, actions, contained, wake)
