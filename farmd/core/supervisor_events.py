"""What goes into the supervisor besides the attendant's reports, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from farmd.core.supervision_events import Report

# -- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Elapsed:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the membership says of this node. It follows every ReportHealth, and every change."""

    released: bool = False
    """No new flow comes here."""
    flows: bool = False
    """Old flows may still live here."""
    everyone_fails: frozenset[str] = frozenset()
    """Checks that every live member fails, this node among them."""
    left: bool = False
    """It has left the farm for good."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants of a managed service."""

    service: str
    verb: Literal["start", "stop", "restart"]


@dataclass(frozen=True, slots=True)
class Quit:
    """farmd ends: stop all services once the node has left the farm. `forced`: kill them."""

    forced: bool = False


Event = Elapsed | Surroundings | Wish | Quit | Report


# -- actions -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BeginService:
    """Start it; Started is the answer."""

    service: str


@dataclass(frozen=True, slots=True)
class EndService:
    """Stop it; Stopped is the answer."""

    service: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class ProbeNow:
    """Try these checks now."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportHealth:
    """What the membership shall go by from now on."""

    ready: bool
    failing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remark:
    """A transition worth a line in the log."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """After Quit: no managed service runs any more."""


Action = BeginService | EndService | ProbeNow | ReportHealth | Remark | Finished
