"""A health in detail: for people, and as application/health+json (draft-inadarei-api-health-check-06). Pure but for the
silence of a daemon.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse

from healthcheck.health import MIRROR, Health, Standing
from healthcheck.watch import Watch

WORDS = {
    Standing.SERVES: "serves",
    Standing.DRAINS: "drains",
    Standing.STOPPED: "is stopped",
    Standing.FAILS: "fails",
    Standing.STANDS_BY: "stands by",
}
CHECK_STATUS = {"passing": "pass", "failing": "fail", "unknown": "warn"}
SERVICE_STATUS = {"running": "pass", "failed": "fail"}


class Document(JSONResponse):
    """An answer in that format."""

    media_type = "application/health+json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, indent=2).encode() + b"\n"


def document(health: Health, watches: Sequence[Watch]) -> dict[str, Any]:
    """The health of these farms and mirrors, with what it rests on."""
    found: dict[str, Any] = {"status": _status(health), "description": "farms and mirrors on this node"}
    if health.reason:
        found["output"] = health.reason
    return found | {"checks": {key: [value] for watch in watches for key, value in _parts(watch)}}


def text(health: Health, watches: Sequence[Watch]) -> str:
    """The same in lines, as Kubernetes' `?verbose` has them."""
    lines = [line for watch in watches for line in _lines(watch)]
    return "".join(f"{line}\n" for line in [*lines, "ready" if health.standing is Standing.SERVES else "not ready"])


def _status(health: Health) -> str:
    if health.standing is Standing.SERVES:
        return "warn" if health.degraded else "pass"
    return "fail"


def _parts(watch: Watch) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each part of a farm or mirror by its key, "component:measurement"."""
    health = watch.health()
    about = {"componentType": "system", "status": _status(health), "output": health.reason}
    yield f"{watch.name}:standing", about | {"observedValue": WORDS[health.standing]}
    if watch.status is None or not watch.fresh:
        return
    if watch.status.get("kind") == MIRROR:
        for measured, value in _mirror(watch.status).items():
            yield f"{watch.name}:{measured}", about | {"componentType": "datastore"} | value
    else:
        share = {"observedValue": round(100 * health.share, 1), "observedUnit": "percent"}
        yield f"{watch.name}:share", about | share
    for check in watch.status["checks"]:
        yield (
            f"{watch.name}/{check['name']}:{check['kind']}",
            {
                "componentType": "component",
                "status": CHECK_STATUS[check["state"]],
                "output": check["text"],
                "observedValue": check["took_ms"],
                "observedUnit": "ms",
                "time": _time(check["since"]),
            },
        )
    for service in watch.status["services"]:
        yield (
            f"{watch.name}/{service['name']}:state",
            {
                "componentType": "component",
                "status": SERVICE_STATUS.get(service["state"], "warn"),
                "output": service["text"],
                "observedValue": service["state"],
                "time": _time(service["since"]),
            },
        )


def _mirror(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a mirror has beside its checks and services."""
    found = {
        "role": {"observedValue": status["role"]},
        "generation": {"observedValue": status["generation"] or "none"},
        "in-sync": {"observedValue": status["in_sync"]},
    }
    progress = status["progress"]
    if progress is not None and progress["total_bytes"]:
        part = 100 * progress["done_bytes"] / progress["total_bytes"]
        found["resync"] = {"observedValue": round(part, 1), "observedUnit": "percent"}
    return found


def _lines(watch: Watch) -> Iterator[str]:
    health = watch.health()
    mark = "[+]" if health.standing is Standing.SERVES else "[-]"
    yield _because(f"{mark}{watch.kind} {watch.name} {WORDS[health.standing]}", health.reason)
    if watch.status is None or not watch.fresh:
        return
    for check in watch.status["checks"]:
        mark = "[-]" if check["state"] == "failing" else "[+]"
        yield _because(f"{mark}{check['name']} {check['state']}", check["text"])


def _because(text: str, reason: str) -> str:
    return f"{text}: {' '.join(reason.split())}" if reason else text


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")
