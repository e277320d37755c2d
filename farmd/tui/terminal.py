"""What the terminal at standard output is and can: asked of the system, terminfo(5) and rich."""

from __future__ import annotations

import contextlib
import curses
import os
import re
import sys

from rich.console import Console

from farmd.tui.look import Colours, Look

COLOURS = {None: Colours.NONE, "standard": Colours.EIGHT}


def interactive() -> bool:
    """Whether a view can live here: keys come from a terminal, and frames go to one that can place its cursor."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def size() -> tuple[int, int] | None:
    """Width and height in characters; None if standard output is no terminal, or one that does not know."""
    with contextlib.suppress(OSError):
        found = os.get_terminal_size(sys.stdout.fileno())
        return (found.columns, found.lines) if found.columns and found.lines else None
    return None


def console(width: int, height: int) -> Console:
    """Standard output, with colours only where the terminal has them and NO_COLOR does not forbid them."""
    return Console(width=width, height=height, highlight=False, no_color=True if _colourless() else None)


def look(console: Console) -> Look:
    """What that console can show."""
    colours = Colours.NONE if console.no_color else COLOURS.get(console.color_system, Colours.MANY)
    return Look(colours, console.encoding.startswith("utf"))


def capability(name: str, otherwise: str) -> str:
    """A string of its terminfo entry, without padding: empty if there is none, `otherwise` if it is unknown."""
    try:
        curses.setupterm(fd=sys.stdout.fileno())
        found = curses.tigetstr(name) or b""
    except curses.error:
        return otherwise
    return re.sub(rb"\$<[^>]*>", b"", found).decode("latin-1")


def _colourless() -> bool:
    """Whether the terminal is known to have no colours, as a VT100: rich believes that all have some."""
    if not sys.stdout.isatty():
        return False  # rich sees that
    try:
        curses.setupterm(fd=sys.stdout.fileno())
    except curses.error:
        return False
    return curses.tigetnum("colors") < 8
