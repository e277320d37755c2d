"""What a check can ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from farmd.supervision.probes.command import CommandProbe
from farmd.supervision.probes.http import HttpProbe
from farmd.supervision.probes.interface import InterfaceProbe
from farmd.supervision.probes.ping import PingProbe
from farmd.supervision.probes.process import ProcessProbe
from farmd.supervision.probes.tcp import TcpProbe
from farmd.supervision.schema import Check


class Probe(Protocol):
    """A question that can be asked again and again. Its time limit is the caller's: it is then cancelled."""

    @property
    def late(self) -> str:
        """What is to be said when the time is over, such as "no answer"."""

    async def look(self) -> str:
        """What was seen, in a few words, if it is as wanted; else Failure or OSError."""


def probe(check: Check, wake: Callable[[], None]) -> Probe:
    """The probe of a check. `wake`: to be called when the answer has probably changed."""
    if check.tcp:
        return TcpProbe(check.tcp)
    if check.http:
        return HttpProbe(check)
    if check.exec:
        return CommandProbe(check.exec)
    if check.process:
        return ProcessProbe(check.process, wake)
    if check.ping:
        return PingProbe(check.ping, needs=check.needs)
    return InterfaceProbe(check.interface, check.address)
