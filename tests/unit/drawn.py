"""Golden frames: what the terminal view draws, as files that can be read. FARMD_REWRITE=1 writes them anew.

A file holds the characters; under them, for a terminal with colours, a letter for the style of each character; and at
the end what the letters mean.
"""

from __future__ import annotations

import io
import os
import string
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from farmd.tui.frame import Moment, render
from farmd.tui.look import Look

CODES = string.ascii_letters + string.digits + "!#$%&()*+,-/:;<=>?@[]^_{|}~" + "".join(map(chr, range(0xC0, 0xD7)))


def compare(file: Path, status: dict[str, Any], width: int, height: int, look: Look, moment: Moment) -> None:
    """Such a status is drawn as the file has it."""
    drawn = _dump(render(status, width, height, look, moment), width, look)
    if os.environ.get("FARMD_REWRITE") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(drawn)
    assert drawn == file.read_text()


def _dump(page: Text, width: int, look: Look) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    codes: dict[str, str] = {}
    characters, styles = "", ""
    for segment in console.render(page):
        style = "" if segment.style is None else str(segment.style)
        code = " " if style in ("", "none") else codes.setdefault(style, CODES[len(codes)])
        characters += segment.text
        styles += "".join("\n" if character == "\n" else code for character in segment.text)
    if look.colours == 0:
        return _stripped(characters)
    meanings = "".join(f"{code}  {style}\n" for style, code in codes.items())
    return f"{_stripped(characters)}----\n{_stripped(styles)}----\n{meanings}"


def _stripped(text: str) -> str:
    return "".join(line.rstrip() + "\n" for line in text.split("\n"))
