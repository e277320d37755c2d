"""What a terminal can show, and how an owner looks on it: the same colour and the same letter at any size.

The hues are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which colour-blind people can tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from rich.color import Color
from rich.style import Style

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"
"""One for each node a farm may have, in the order of the configuration."""

HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
SHADES = ((0, 0.0), (0, 0.3), (255, 0.5), (0, 0.65))
"""For each eight nodes: towards black (0) or white (255), and how far."""

EIGHT = ("blue", "yellow", "green", "magenta", "cyan", "red", "white")
"""Where a terminal has no more than eight colours."""

BLACK, WHITE = Color.parse("#000000"), Color.parse("#ffffff")
DARK_NAMES = ("blue", "magenta", "red")


class Colours(IntEnum):
    """How many owners the terminal's colours tell apart; more are told apart by their letters."""

    NONE = 0
    EIGHT = len(EIGHT)
    MANY = 3 * len(HUES)
    """Of 256 colours no more come out different."""


@dataclass(frozen=True, slots=True)
class Look:
    """A terminal's abilities."""

    colours: Colours = Colours.MANY
    unicode: bool = True
    """Whether its encoding has more than ASCII."""

    def lettered(self, owners: int) -> bool:
        """Whether so many owners need letters to be told apart at a glance."""
        return owners > min(self.colours, len(HUES))

    def paint(self, owner: int) -> Style:
        """Letters of an owner, on its colour; `owner` counts from 0."""
        if self.colours is Colours.NONE:
            return Style()
        paper = self.colour(owner)
        return Style(color=_ink(paper), bgcolor=paper)

    def colour(self, owner: int) -> Color:
        """An owner's colour."""
        return _eight(owner) if self.colours is Colours.EIGHT else _many(owner)

    def printable(self, value: Any) -> Any:
        """The same value with every text made harmless: it may hold what a check's command has printed."""
        match value:
            case str():
                return self._text(value)
            case dict():
                return {key: self.printable(inner) for key, inner in value.items()}
            case list():
                return [self.printable(inner) for inner in value]
        return value

    def _text(self, text: str) -> str:
        if text.isascii() and text.isprintable():
            return text
        text = " ".join(text.split())
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
        return text if self.unicode else text.encode("ascii", "replace").decode()


def _eight(owner: int) -> Color:
    return Color.parse(EIGHT[owner % len(EIGHT)])


def _many(owner: int) -> Color:
    red, green, blue = Color.parse(HUES[owner % len(HUES)]).get_truecolor()
    target, part = SHADES[owner // len(HUES) % len(SHADES)]
    mixed = (round(value + (target - value) * part) for value in (red, green, blue))
    return Color.from_rgb(*mixed)


def _ink(paper: Color) -> Color:
    """Black or white, whichever is easier to read on it."""
    if not paper.is_default and paper.triplet is None:
        return Color.parse("bright_white" if paper.name in DARK_NAMES else "black")
    red, green, blue = paper.get_truecolor()
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else WHITE
