"""Whether a node may own buckets, and if not why, from the standing of its services and checks."""

from __future__ import annotations

from collections.abc import Iterable

from farmd.core.life import Life, State
from farmd.core.watched import Watched


def obstacle(lives: Iterable[Life], checks: Iterable[Watched], now_ns: int, *, ready: bool) -> str:
    """Why the node may own nothing, in a sentence; empty if it may. `ready`: it may own buckets so far."""
    for life in lives:
        if not life.serves(now_ns):
            return stands(life)
    for check in checks:
        if not check.known:
            return f"check {check.name} has no result yet"
        if check.failing and not check.duty.serve_on:
            return fails(check)
        if check.doubtful(now_ns) and not ready:
            return f"check {check.name} gives no results any more"
    return ""


def stands(life: Life) -> str:
    """Where a service stands that does not serve."""
    match life.state:
        case State.STOPPED if not life.wanted:
            text = "was stopped by an operator"
        case State.STOPPED if not life.looked:
            text = "has not been looked at yet"
        case State.STARTING:
            text = "is starting"
        case State.WARMING:
            text = "is started, and its checks do not pass yet"
        case State.FAILED:
            text = f"has failed: {life.text}"
        case _:
            text = f"is {'stopped' if life.state is State.STOPPED else 'being stopped'}: {life.text}"
    return f"service {life.name} {text}"


def fails(check: Watched) -> str:
    """What a failing check means."""
    text = f": {check.text}" if check.text else ""
    return f"service {check.name} does not run{text}" if check.duty.alive else f"check {check.name} fails{text}"


def passes(check: Watched) -> str:
    """What a passing check means."""
    return f"service {check.name} runs" if check.duty.alive else f"check {check.name} passes"
