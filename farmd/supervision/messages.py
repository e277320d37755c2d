"""What farmd and its attendant say to each other: one JSON object a line, over a socket between the two."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from farmd.core.supervision_events import Probed, Started, Stopped
from farmd.kit import toml
from farmd.supervision.schema import Check, Service

LINE_BYTES_MAX = 4 << 20
"""Longer than any configuration file may be, written as JSON."""


@dataclass(frozen=True, slots=True)
class Alive:
    """The attendant's sign of life."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Start a service. An order replaces an earlier one for the same service, which is then not answered."""

    service: str


@dataclass(frozen=True, slots=True)
class End:
    """Stop a service."""

    service: str
    force: bool


@dataclass(frozen=True, slots=True)
class ProbeNow:
    """Try these checks at once."""

    names: list[str]


Message = Alive | Begin | End | ProbeNow | Probed | Started | Stopped

_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Alive, Begin, End, ProbeNow, Probed, Started, Stopped)
}


@dataclass(frozen=True, slots=True)
class Assignment:
    """The first line: what the attendant has to look after."""

    scope: str
    """Tells the services of one farm or mirror from those of another on the same machine."""
    services: tuple[Service, ...]
    checks: tuple[Check, ...]
    outlive: bool = True
    """Services live on when the parent ends. Else all that are managed and may run are killed then."""


def encode(message: Message, order: int = 0) -> bytes:
    """A line. `order` is the number of an order, in the order and in its answer."""
    fields = dataclasses.asdict(message)
    return _line({"kind": type(message).__name__, "order": order, **fields})


def decode(line: bytes) -> tuple[Message, int]:
    """The message in a line, and the number of its order."""
    fields: dict[str, Any] = json.loads(line)
    kind, order = _KINDS[fields.pop("kind")], fields.pop("order")
    return kind(**fields), order


def encode_assignment(assignment: Assignment) -> bytes:
    """The first line."""
    return _line(_without_none(dataclasses.asdict(assignment)))


def decode_assignment(line: bytes) -> Assignment:
    """What the first line says."""
    return toml.read(json.loads(line), Assignment)


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, default=_written).encode() + b"\n"


def _written(value: object) -> str:
    assert isinstance(value, IPv4Address | IPv6Address)
    return str(value)


def _without_none(value: Any) -> Any:
    """The value as TOML has it, in which a key without a value is left out."""
    match value:
        case dict():
            return {key: _without_none(each) for key, each in value.items() if each is not None}
        case list() | tuple():
            return [_without_none(each) for each in value]
        case _:
            return value


def names(services: Iterable[Service], checks: Iterable[Check]) -> list[str]:
    """Every check's name, the services' own first."""
    return [*(service.name for service in services), *(check.name for check in checks)]
