"""A file that others read: they see what was there before or all of what is there now."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Replace the file in one step; what was replaced last may be gone after a power cut. OSError if that fails."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
