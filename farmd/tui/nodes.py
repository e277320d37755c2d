"""A line for each node: what it is, what it owns and what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.style import Style
from rich.text import Text

from farmd.tui.look import LETTERS, Look
from farmd.tui.numbers import ABSENT, milliseconds, rate
from farmd.tui.verdict import GOOD, is_well, remark, standing

BAR = 6
NAME_MIN, NAME_MAX = 8, 24
CHECKS_MIN = 16

Align = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Column:
    heading: str
    width: int
    align: Align = "right"


def table(status: dict[str, Any], width: int, rows: int, look: Look) -> list[Text]:
    """A heading and at most `rows` lines. Where they do not suffice, nodes with trouble go first."""
    members = list(enumerate(status["members"]))
    columns = _columns(status, width)
    lines = [_joined([Text(column.heading, style="dim") for column in columns], columns)]
    shown = members if len(members) <= rows else sorted(members, key=lambda one: is_well(one[1]))[: max(0, rows - 1)]
    most = max(member["share"] for _, member in members)
    lines += [_joined(_row(place, member, most, look), columns) for place, member in shown]
    if len(shown) < len(members) and rows > 0:
        lines.append(_rest([member for place, member in members if (place, member) not in shown]))
    return lines


def _columns(status: dict[str, Any], width: int) -> Sequence[Column]:
    longest = max(len(member["name"]) for member in status["members"])
    fixed = [Column("status", 9, "left"), Column("weight", 6), Column("share", 5), Column("", BAR, "left"),
             Column("in/s", 6), Column("drop/s", 6), Column("fence/s", 7), Column("rtt ms", 6)]  # fmt: skip
    spare = width - 3 - sum(column.width + 1 for column in fixed)  # for the name and the checks
    name = max(NAME_MIN, min(longest, NAME_MAX, spare - CHECKS_MIN))
    return [Column("", 1), Column("node", name, "left"), *fixed, Column("checks", spare - name, "left")]


def _row(place: int, member: dict[str, Any], most: float, look: Look) -> list[Text]:
    traffic = member["traffic"]
    style, word = standing(member)
    remark_style, remarked = remark(member)
    round_trip_ms = member["round_trip_ms"]
    numbers = [ABSENT] * 3 if traffic is None else [
        rate(traffic[name]) for name in ("accepted_per_s", "dropped_per_s", "fenced_per_s")
    ]  # fmt: skip
    fenced = "bold red" if traffic is not None and traffic["fenced_per_s"] else ""
    return [
        Text(LETTERS[place], style=look.paint(place) + Style(bold=True)),
        Text(member["name"], style="" if style == GOOD else style),
        Text(word, style=style),
        Text(str(member["weight"])),
        Text("100%" if member["share"] == 1 else f"{100 * member['share']:.1f}%"),
        _bar(place, member["share"] / most if most else 0.0, look),
        *(Text(number) for number in numbers[:2]),
        Text(numbers[2], style=fenced),
        Text(ABSENT if round_trip_ms is None else milliseconds(round_trip_ms)),
        Text(remarked, style=remark_style),
    ]


def _bar(place: int, part: float, look: Look) -> Text:
    """A share beside the largest one, in half characters."""
    halves = round(2 * BAR * part)
    if look.colours == 0:
        return Text("#" * (halves // 2))
    bar = Text().append(" " * (halves // 2), style=Style(bgcolor=look.colour(place)))
    if halves % 2 and look.unicode:
        bar.append("▌", style=Style(color=look.colour(place)))
    return bar


def _joined(cells: Sequence[Text], columns: Sequence[Column]) -> Text:
    for cell, column in zip(cells, columns, strict=True):
        cell.truncate(column.width, overflow="ellipsis")
        if column is not columns[-1]:
            cell.align(column.align, column.width)
    return Text(" ").join(cells)


def _rest(hidden: Sequence[dict[str, Any]]) -> Text:
    trouble = sum(not is_well(member) for member in hidden)
    tail = f", {trouble} of them not well" if trouble else ", all well"
    return Text(f"  and {len(hidden)} more{tail}", style="dim")
