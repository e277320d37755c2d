"""One frame of the terminal view, drawn from a status: a pure function, and never larger than it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from farmd.tui import buckets, head, mirror, nodes, transitions
from farmd.tui.buckets import LEGEND_WIDTH, Shape
from farmd.tui.history import History
from farmd.tui.look import Look

WIDTH_MIN, HEIGHT_MIN = 80, 24

NODES_FIRST = 8
"""So many nodes come before the first event."""
EVENTS_WANTED = 3
Frame = tuple[Sequence[Text], Sequence[Text]]
"""The lines from the top, and those at the bottom."""
GAPS = 3
"""Empty lines between head, map, nodes and events, where there is room."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What a frame shows beside the status."""

    now_s: float
    """The time of day, in seconds since 1970: events tell how long ago they were."""
    trouble: str = ""
    """One sentence while the daemon does not answer: what is drawn is old then."""
    keys: bool = True
    """Whether keys are listened to; the frame says which."""
    next: str = ""
    """Which farm or mirror the key for another one leads to; empty if there is only this."""
    history: History = ()
    """A mirror's figures of the last minutes."""


def render(status: dict[str, Any], width: int, height: int, look: Look, moment: Moment) -> Text:
    """The frame of a farm's status with "buckets", or of a mirror's, in at most `height` lines of at most `width`
    characters.
    """
    if width < WIDTH_MIN or height < HEIGHT_MIN:
        need = f"The view needs {WIDTH_MIN} x {HEIGHT_MIN} characters; here are {width} x {height}."
        return _page([Text(need)], width, look)
    status, trouble = look.printable(status), look.printable(moment.trouble)
    lines, below = (_mirror if status.get("kind") == "mirror" else _farm)(status, width, height, look, moment)
    if trouble:
        for line in lines[2:]:
            line.stylize("dim")
    filler = [Text()] * (height - len(lines) - len(below)) if moment.keys else []
    return _page([*lines, *filler, *below], width, look)


def waiting(name: str, trouble: str, width: int, height: int, look: Look, moment: Moment) -> Text:
    """The frame of a daemon that has not said anything yet."""
    below = _foot(look.printable(moment.next), moment.keys, [])
    lines = [Text(look.printable(name), style="bold"), Text(look.printable(trouble) or "waiting for its first word")]
    return _page([*lines, *[Text()] * (height - len(lines) - len(below)), *below], width, look)


def _mirror(status: dict[str, Any], width: int, height: int, look: Look, moment: Moment) -> Frame:
    below = _foot(look.printable(moment.next), moment.keys, [])
    trouble = look.printable(moment.trouble)
    return mirror.lines(status, trouble, width, height - len(below), look, moment.history, moment.now_s), below


def _farm(status: dict[str, Any], width: int, height: int, look: Look, moment: Moment) -> Frame:
    above = head.lines(status, look.printable(moment.trouble), width)
    picture, below = _map(status, width, height - len(above), look, moment)
    free = height - len(above) - len(picture) - len(below)
    table = nodes.table(status, width, _node_rows(status, free), look)
    gap = [Text()] if free - len(table) >= GAPS + EVENTS_WANTED + 1 else []
    events = transitions.table(status["events"], "epoch", moment.now_s, free - len(table) - GAPS * len(gap))
    return [*above, *gap, *picture, *gap, *table, *gap, *events], below


def _map(
    status: dict[str, Any], width: int, height: int, look: Look, moment: Moment
) -> tuple[Sequence[Text], Sequence[Text]]:
    """The map, and the last line: the legend is beside the one or part of the other."""
    members = len(status["members"])
    cells = buckets.cells(status)
    shape = _shape(members, width, height, look)
    picture = buckets.draw(cells, shape, members, look)
    legend = buckets.legend(cells, shape, members, look)
    if width > shape.width + LEGEND_WIDTH:
        return _beside(picture, legend, width - shape.width - 1, look), _foot(moment.next, moment.keys, [])
    return picture, _foot(moment.next, moment.keys, legend)


def _shape(members: int, width: int, height: int, look: Look) -> Shape:
    """The largest map that leaves room for the tables; the smallest if none does."""
    wanted = 1 + min(members, NODES_FIRST) + 1 + EVENTS_WANTED + GAPS + 1
    *larger, smallest = buckets.shapes(members, look)
    fitting = (shape for shape in larger if shape.width <= width and shape.rows + wanted <= height)
    return next(fitting, smallest)


def _node_rows(status: dict[str, Any], free: int) -> int:
    events = min(len(status["events"]), EVENTS_WANTED)
    return max(1, min(free - 1, max(NODES_FIRST, free - 2 - events - GAPS)))


def _beside(picture: Sequence[Text], legend: Sequence[Text], width: int, look: Look) -> list[Text]:
    """The map with its legend at the right, cut where it would break off a meaning."""
    sort = "letter" if look.colours == 0 else "colour"
    words = ["each place is", "one of 1024", "buckets, in its", f"owner's {sort}"]
    gap = [Text()] if len(picture) > len(words) + len(legend) else []
    column = [*(Text(line, style="dim") for line in words), *gap, *(_cut(line, width) for line in legend)]
    column += [Text()] * (len(picture) - len(column))
    return [Text(" ").join(pair) for pair in zip(picture, column, strict=True)]


def _cut(legend: Text, width: int) -> Text:
    """Without its meaning, if that does not fit."""
    return legend if legend.cell_len <= width else legend[:LEGEND_WIDTH]


def _foot(other: str, keys: bool, legend: Sequence[Text]) -> list[Text]:
    """The keys; and the legend, where it has no place beside the map."""
    words = [Text("q quit", style="dim")] if keys else []
    words += [Text(f"tab {other}", style="dim")] if keys and other else []
    words += [_cut(line, LEGEND_WIDTH) for line in legend]
    return [Text("   ").join(words)] if words else []


def _page(lines: Sequence[Text], width: int, look: Look) -> Text:
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        if not look.unicode:
            line.plain = line.plain.replace("…", "~")
    page = Text("\n").join(lines)
    page.no_wrap, page.overflow, page.end = True, "crop", ""
    return page
