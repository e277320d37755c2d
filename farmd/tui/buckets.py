"""The buckets as a map: a place for each of the 1024, always the same one, in its owner's colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_uppercase
from typing import Any

from rich.style import Style
from rich.text import Text

from farmd.core.view import BUCKETS
from farmd.tui.look import LETTERS, Look

MARKS = {"contested": "!", "filling": "+", "draining": "-", "nobody": "."}
"""What is special about a bucket, as a sign that needs no colour; the most important first."""

MEANINGS = {
    "contested": "is about to get another owner",
    "filling": "was gained: takes new flows only",
    "draining": "was given away: keeps old flows",
    "nobody": "owns it: no client gets an answer",
}

LEGEND_WIDTH = 15
"""Of a mark's sign, name and count."""

Cell = tuple[int | None, str]
"""A bucket's owner, counted from 0, and its mark or nothing."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the buckets are laid out."""

    columns: int
    cell: int = 1
    """Characters that a bucket is wide."""
    half: bool = False
    """Two buckets share a character, one above the other; needs colours."""

    @property
    def width(self) -> int:
        return self.columns * self.cell

    @property
    def rows(self) -> int:
        return -(-BUCKETS // (self.columns * (1 + self.half)))


WIDE, TALL, DENSE, SMALL = Shape(64, cell=2), Shape(64), Shape(80), Shape(64, half=True)


def shapes(nodes: int, look: Look) -> Sequence[Shape]:
    """Those that show every owner, the largest first. Where colours do not suffice each bucket has a letter."""
    by_colour = look.unicode and nodes <= look.colours
    return (WIDE, TALL, SMALL) if by_colour else (WIDE, TALL, DENSE)


def cells(status: dict[str, Any]) -> list[Cell]:
    """Every bucket as it is seen from here."""
    buckets = status["buckets"]
    places = {member["name"]: place for place, member in enumerate(status["members"])}
    contested = set(buckets["contested"])
    return [
        (places.get(owner), _mark(owner, state, bucket in contested))
        for bucket, (owner, state) in enumerate(zip(buckets["owners"], buckets["states"], strict=True))
    ]


def _mark(owner: str | None, state: str, contested: bool) -> str:
    if contested:
        return MARKS["contested"]
    if state in MARKS:
        return MARKS[state]
    return "" if owner is not None else MARKS["nobody"]


def draw(cells: Sequence[Cell], shape: Shape, nodes: int, look: Look) -> list[Text]:
    """The map, line by line."""
    step = shape.columns * (1 + shape.half)
    rows = [cells[start : start + step] for start in range(0, BUCKETS, step)]
    if shape.half:
        return [_half_line(row[: shape.columns], row[shape.columns :], look) for row in rows]
    signs = {(owner, mark): _sign(owner, mark, shape, nodes, look) for owner, mark in set(cells)}
    return [_line(row, signs, look) for row in rows]


def legend(cells: Sequence[Cell], shape: Shape, nodes: int, look: Look) -> list[Text]:
    """For each mark its sign, its name, how many buckets have it and what it means; dim while none has it."""
    count = Counter(mark for _, mark in cells)
    signs = MARKS | ({"draining": "a"} if _small_letters(shape, nodes, look) else {})
    return [_explained(signs[name], name, count[mark]) for name, mark in MARKS.items()]


def _explained(sign: str, name: str, count: int) -> Text:
    text = f"{sign} {name}"
    number = "all" if count == BUCKETS else str(count)
    line = Text().append(text + number.rjust(LEGEND_WIDTH - len(text)), style="bold" if count else "dim")
    return line.append(f"  {MEANINGS[name]}", style="dim")


def _small_letters(shape: Shape, nodes: int, look: Look) -> bool:
    """Whether a small letter is the mark of a draining bucket: without a colour a mark alone would hide the owner, who
    is another node. (Of filling buckets it is this node.)
    """
    return look.colours == 0 and shape.cell == 1 and nodes <= len(ascii_uppercase)


def _sign(owner: int | None, mark: str, shape: Shape, nodes: int, look: Look) -> str:
    """What is written in a bucket's place."""
    letter = LETTERS[owner] if owner is not None and look.lettered(nodes) else ""
    if shape.cell > 1:
        return (letter + mark).ljust(shape.cell)
    if mark == MARKS["draining"] and _small_letters(shape, nodes, look):
        return letter.lower() or mark
    return mark or letter or " "


def _line(row: Sequence[Cell], signs: Mapping[Cell, str], look: Look) -> Text:
    line = Text()
    for cell, group in groupby(row):
        line.append(signs[cell] * len(list(group)), _style(*cell, look))
    return line


def _half_line(upper: Sequence[Cell], lower: Sequence[Cell], look: Look) -> Text:
    line = Text()
    for (above, below), group in groupby(zip(upper, lower, strict=True)):
        sign, style = _half(above, below, look)
        line.append(sign * len(list(group)), style)
    return line


def _half(above: Cell, below: Cell, look: Look) -> tuple[str, Style]:
    """Both colours; where one of the two is marked its mark takes the whole place."""
    marked = min((cell for cell in (above, below) if cell[1]), key=_rank, default=None)
    if marked is not None:
        return marked[1], _style(*marked, look)
    assert above[0] is not None
    assert below[0] is not None
    return "▀", Style(color=look.colour(above[0]), bgcolor=look.colour(below[0]))


def _rank(cell: Cell) -> int:
    return list(MARKS.values()).index(cell[1])


def _style(owner: int | None, mark: str, look: Look) -> Style:
    if owner is None:
        return Style(dim=True)
    return look.paint(owner) + Style(bold=True) if mark else look.paint(owner)
