"""The transcripts beside this file: commands, `----`, what was seen. They tell how the protocol works, and check it.

Every run is the same. After an intended change: FARMD_REWRITE=1 ./tests/run tests/scenarios, then read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.scenarios import pair, stage, workshop
from tests.scenarios.play import Play

FOLDER = Path(__file__).parent
STAGES: dict[Path, type[Play]] = {
    FOLDER: stage.Stage,
    FOLDER / "supervisor": workshop.Stage,
    FOLDER / "mirror": pair.Stage,
}
TRANSCRIPTS = sorted(FOLDER.rglob("*.txt"))
BLOCK = re.compile(r"^(?P<commands>(?:[^#\n].*\n)+?)----\n(?P<seen>(?:.+\n)*)", re.MULTILINE)


def play(path: Path) -> str:
    """The transcript as it comes out now."""
    on = STAGES[path.parent]()

    def once_more(block: re.Match[str]) -> str:
        return f"{block['commands']}----\n{on.play(block['commands'])}\n"

    return BLOCK.sub(once_more, path.read_text())


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_it_happens_as_told(path: Path) -> None:
    told = path.read_text()
    seen = play(path)
    if os.environ.get("FARMD_REWRITE"):
        path.write_text(seen)
    else:
        assert seen.splitlines() == told.splitlines()


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_it_tells_something(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert any(block["seen"] for block in BLOCK.finditer(text))
    assert text.count("----\n") == len(BLOCK.findall(text)), "a command without its ----, or a ---- without a command"
