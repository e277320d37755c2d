"""Two trees, compared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mirrord import compare

TIB = 1 << 40


def differing(folder: Path, make: Callable[[Path], None], change: Callable[[Path], None]) -> list[str]:
    """Between two trees with one file, of which one was changed; times aside."""
    for name in ("a", "b"):
        (folder / name).mkdir()
        make(folder / name / "file")
    change(folder / "b/file")
    found = compare.differences(compare.listing(folder / "a"), compare.listing(folder / "b"))
    return [line for line in found if "time" not in line]


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(4 * TIB)
        file.seek(3 * TIB)
        file.write(b"text")


def write(at: int, content: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        fd = os.open(path, os.O_WRONLY)
        os.pwrite(fd, content, at)
        os.close(fd)

    return change


def test_zeros_are_a_hole(tmp_path: Path) -> None:
    assert differing(tmp_path, sparse, write(TIB, bytes(1 << 20))) == []


@pytest.mark.parametrize("at", [0, TIB + 5, 3 * TIB, 4 * TIB - 1])
def test_a_byte_is_found_wherever_it_is(tmp_path: Path, at: int) -> None:
    assert differing(tmp_path, sparse, write(at, b"x")) == ["file: content"]


def test_the_same_content_elsewhere_is_another(tmp_path: Path) -> None:
    def make(path: Path) -> None:
        sparse(path)
        write(TIB, b"moved")(path)

    def move(path: Path) -> None:
        write(TIB, bytes(5))(path)
        write(TIB + (1 << 20), b"moved")(path)

    assert differing(tmp_path, make, move) == ["file: content"]
