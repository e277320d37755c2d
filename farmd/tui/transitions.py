"""The newest transitions, under a heading."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from rich.text import Text

from farmd.tui.numbers import age

STAMP_WIDTH = 8


def table(
    events: Sequence[dict[str, Any]], stamp: Literal["epoch", "generation"], now_s: float, rows: int
) -> list[Text]:
    """At most so many lines; none rather than a heading alone. What came several times in a row is one line."""
    if not events or rows < 2:
        return []
    width = max(STAMP_WIDTH, len(stamp))
    lines = [Text(f"{'ago':>7}  {stamp:<{width}}  event", style="dim")]
    for (stamped, text), same in groupby(events, key=lambda event: (event[stamp], event["text"])):
        newest, *older = same
        times = f"{1 + len(older)} times: " if older else ""
        line = Text(f"{age(now_s - newest['time']):>7}  ")
        lines.append(line.append(f"{stamped:<{width}}", style="dim").append(f"  {times}{text}"))
    return lines[:rows]
