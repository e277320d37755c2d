"""A mirrord in which some lines are not ours: another version, or one that is slow where ours is fast."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.machine import CHECKOUT
from lab.mirror import PYTHON


def program(folder: Path, changed: dict[str, dict[str, str]]) -> tuple[str, ...]:
    """The command line of such a mirrord. changed: file -> line -> what it is there."""
    for package in ("mirrord", "farmd", "bpf"):
        shutil.copytree(CHECKOUT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file, lines in changed.items():
        text = (folder / file).read_text()
        for line, other in lines.items():
            assert text.count(f"\n{line}\n") == 1
            text = text.replace(f"\n{line}\n", f"\n{other}\n")
        (folder / file).write_text(text)
    return ("env", f"PYTHONPATH={folder}", PYTHON, "-P", "-m", "mirrord.program")
