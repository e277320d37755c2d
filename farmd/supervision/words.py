"""Command lines: words as a shell splits them, and no shell."""

from __future__ import annotations

import shlex


def words(line: str) -> list[str]:
    """The words of a command line. ValueError, with a sentence, if it is none."""
    if "\0" in line:
        raise ValueError("must not hold a NUL character")
    try:
        found = shlex.split(line)
    except ValueError:
        raise ValueError("has a quotation or an escape that does not end") from None
    if not found or not found[0]:
        raise ValueError("must name a command")
    return found
