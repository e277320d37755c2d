"""The settings: one TOML file, which may be missing; the defaults are a health page and nothing else.

The dataclasses are the schema, and the text under each field is its documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from farmd.errors import ConfigError
from farmd.kit import toml
from farmd.kit.toml import Address

PATH = Path("/etc/farmd/health.toml")


@dataclass(frozen=True, slots=True)
class Tls:
    """[tls]: HTTPS instead of HTTP, for the health page."""

    certificate: str = ""
    """A PEM file: the certificate, then those that lead to its root. Empty: HTTP, as load balancers ask by default."""

    key: str = ""
    """The PEM file of its key. Only the user that starts farm-health must be able to read it."""


@dataclass(frozen=True, slots=True)
class Agent:
    """[[agent]]: a port that answers HAProxy's agent-check, one line a connection."""

    port: int
    """TCP, on the health page's addresses. HAProxy has no default for it."""

    farm: str = ""
    """Which farm or mirror it is about. Empty: all on this node, and the worst of them counts."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """[metrics]: what Prometheus scrapes, at /metrics of a port of its own, which a firewall can keep from clients."""

    port: int = 0
    """TCP; 0: no metrics. 5482 is a good one."""

    addresses: tuple[Address, ...] = ()
    """Where it listens; none: wherever the health page does."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole file."""

    port: int = 5480
    """The TCP port of the health page."""

    addresses: tuple[Address, ...] = ()
    """Where it listens; none: on all addresses of the node, virtual ones included, IPv4 and IPv6."""

    farms: tuple[str, ...] = ()
    """Farms that must be on this node: 503 from the start if one is not. A farm that has been here once since
    farm-health started is expected in any case; another name is 404.
    """

    mirrors: tuple[str, ...] = ()
    """The same for mirrors. Farms and mirrors on one node have different names."""

    drain_status: int = 503
    """What a page says while a drain or a planned stop is announced: 503, or 404, which HAProxy's
    `http-check disable-on-404` takes for "no new clients, keep the old ones".
    """

    detail: bool = False
    """Whether `?verbose` and `Accept: application/health+json` show names, checks and reasons to whoever asks."""

    tls: Tls = Tls()
    """[tls]"""

    agents: tuple[Agent, ...] = field(default=(), metadata={"key": "agent"})
    """[[agent]], any number."""

    metrics: Metrics = Metrics()
    """[metrics]"""


def load(path: Path | None) -> Settings:
    """Read and validate a file; None: the one at PATH, if it is there. Raises ConfigError with the key at fault."""
    if path is None and not PATH.exists():
        return Settings()
    settings = toml.read(toml.parse(path or PATH), Settings)
    check(settings)
    return settings


def ports(settings: Settings) -> Iterator[tuple[str, int, tuple[Address, ...]]]:
    """Every port to listen at: the key that names it, the port, its addresses."""
    yield "port", settings.port, settings.addresses
    for index, agent in enumerate(settings.agents):
        yield f"agent[{index}].port", agent.port, settings.addresses
    if settings.metrics.port:
        yield "metrics.port", settings.metrics.port, settings.metrics.addresses or settings.addresses


def check(settings: Settings) -> None:
    """Raise ConfigError for the first rule that the settings break."""
    seen: dict[int, str] = {}
    for key, port, _ in ports(settings):
        if not 1 <= port <= 65535:
            raise ConfigError(key, f"must be 1 to 65535, not {port}")
        if port in seen:
            raise ConfigError(key, f"{port} is taken by {seen[port]}")
        seen[port] = key
    if settings.drain_status not in (503, 404):
        raise ConfigError("drain_status", f"must be 503 or 404, not {settings.drain_status}")
    if bool(settings.tls.certificate) != bool(settings.tls.key):
        raise ConfigError("tls", "must have both a certificate and a key, or neither")
    if settings.metrics.addresses and not settings.metrics.port:
        raise ConfigError("metrics.addresses", "make no sense without metrics.port")
