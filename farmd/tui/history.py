"""What was written lately, and how long it took: kept by who watches, drawn as a line of bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

KEPT = 120
NS = 1_000_000_000
APART_NS = 9 * NS // 10
"""A daemon has new figures each second, and tells them again whenever something else changes."""

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = ".:-=+*#@"


@dataclass(frozen=True, slots=True)
class Point:
    """One second."""

    said_ns: int
    writes_s: float
    p99_ms: float | None


History = tuple[Point, ...]
"""The oldest first."""


def extended(history: History, status: dict[str, Any]) -> History:
    """With a mirror's newest figures; those of a farm are not kept."""
    if status.get("kind") != "mirror":
        return ()
    figures = status["figures"]
    point = Point(status.get("said_ns", 0), figures["writes_s"], figures["latency_ms"]["p99"])
    if history and point.said_ns - history[-1].said_ns < APART_NS:
        return (*history[:-1], replace(point, said_ns=history[-1].said_ns))
    return (*history, point)[-KEPT:]


def bars(values: Sequence[float], width: int, *, unicode: bool) -> str:
    """The newest values, the last one at the right, each as a bar beside the largest of them."""
    signs = BARS if unicode else ASCII_BARS
    shown = values[-width:]
    most = max(shown, default=0.0)
    drawn = "".join(signs[round(value / most * (len(signs) - 1))] if value else " " for value in shown) if most else ""
    return drawn.rjust(width)
