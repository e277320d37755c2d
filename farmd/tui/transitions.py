"""The newest transitions, under a heading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from rich.text import Text

from farmd.tui.numbers import age

STAMP_WIDTH = 8


def table(
    events: Sequence[dict[str, Any]], stamp: Literal["epoch", "generation"], now_s: float, rows: int
) -> list[Text]:
    """At most so many lines; none rather than a heading alone."""
    if not events or rows < 2:
        return []
    width = max(STAMP_WIDTH, len(stamp))
    lines = [Text(f"{'ago':>7}  {stamp:<{width}}  event", style="dim")]
    for event in events[: rows - 1]:
        line = Text(f"{age(now_s - event['time']):>7}  ")
        lines.append(line.append(f"{event[stamp]:<{width}}", style="dim").append(f"  {event['text']}"))
    return lines
