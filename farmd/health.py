"""What a node tells about its services and checks: a part of its status, ready for JSON."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from farmd.core.readiness import fails
from farmd.core.supervisor import Supervisor
from farmd.core.watched import Watched
from farmd.supervision.schema import Check, Service

if TYPE_CHECKING:
    from farmd.daemon import Daemon

NS = 1_000_000_000
EVENTS_IN_STATUS = 20
CHECK_KINDS = ("tcp", "http", "exec", "process", "ping", "interface")


class Configured(Protocol):
    """The configuration of a farm or a mirror."""

    @property
    def services(self) -> tuple[Service, ...]: ...
    @property
    def checks(self) -> tuple[Check, ...]: ...


def health(daemon: Daemon, members: Sequence[dict[str, Any]], now_ns: int) -> dict[str, Any]:
    """Whether the node can serve, and why not."""
    supervisor = daemon.supervising.core
    reason = _reason(daemon, supervisor)
    missing = any(member["status"] in ("failed", "silent") for member in members)
    return {
        "ready": not reason,
        "reason": reason,
        "failing": list(supervisor.failing),
        "degraded": not reason and (bool(supervisor.failing) or missing),
        "stopped": supervisor.stopped,
        **looked_after(supervisor, daemon.config, now_ns),
        "events": daemon.events.newest(EVENTS_IN_STATUS),
    }


def _reason(daemon: Daemon, supervisor: Supervisor) -> str:
    """Why nothing may come here: what the supervisor says, or a failing check that leaves the buckets to others."""
    if supervisor.failing and supervisor.ready and daemon.core.released:
        return fails(supervisor.checks[supervisor.failing[0]])
    return supervisor.reason


def looked_after(supervisor: Supervisor, config: Configured, now_ns: int) -> dict[str, Any]:
    """Every service, in the order of the file, and every check, the services' own first."""
    kinds = {service.name: "service" for service in config.services}
    kinds |= {check.name: _kind(check) for check in config.checks}
    return {
        "services": [_service(supervisor, service, now_ns) for service in config.services],
        "checks": [_check(check, kinds[name], now_ns) for name, check in supervisor.checks.items()],
    }


def _service(supervisor: Supervisor, service: Service, now_ns: int) -> dict[str, Any]:
    check = supervisor.checks[service.name]
    if service.managed:
        life = supervisor.lives[service.name]
        state, since_ns, text = life.state.value, life.since_ns, life.text
        restarts = life.restarts_within(check.duty.limit, now_ns)
    else:
        state, since_ns, text, restarts = "running" if check.passing else "stopped", check.since_ns, check.text, 0
    return {
        "name": service.name,
        "kind": "unit" if service.unit else "ocf" if service.ocf else "command",
        "managed": service.managed,
        "state": state,
        "since": _unix(since_ns, now_ns),
        "restarts": restarts,
        "text": text,
    }


def _kind(check: Check) -> str:
    return next(kind for kind in CHECK_KINDS if getattr(check, kind))


def _check(check: Watched, kind: str, now_ns: int) -> dict[str, Any]:
    return {
        "name": check.name,
        "kind": kind,
        "state": check.state,
        "since": _unix(check.since_ns, now_ns),
        "text": check.text,
        "took_ms": check.took_ms,
        "on_failure": check.duty.reaction,
    }


def _unix(at_ns: int, now_ns: int) -> float:
    """A moment of the node's own clock as Unix time, in seconds."""
    return round(time.time() - (now_ns - at_ns) / NS, 3)
