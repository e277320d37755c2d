"""The exerciser does the same thing twice, and sees a file system that does not."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.posix import operations
from tests.posix.exerciser import Exerciser, Operation, Outcome
from tests.posix.operations import WEIGHTS

pytestmark = pytest.mark.needs_root


def outcomes(folder: Path, seed: int, count: int = 1500) -> list[Outcome]:
    folder.mkdir()
    return Exerciser(folder, seed, WEIGHTS).run(count)


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_says_what_happens(tmp_path: Path, seed: int) -> None:
    assert outcomes(tmp_path / "one", seed) == outcomes(tmp_path / "two", seed)


def test_each_operation_succeeds_and_fails(tmp_path: Path) -> None:
    seen = outcomes(tmp_path / "one", 2, 10_000)
    worked = {name for name, _, result in seen if not str(result).startswith("E")}
    assert {operation.__name__ for operation, _ in WEIGHTS} - worked == set()
    assert {str(result) for _, _, result in seen} >= {
        "ENOENT",
        "EEXIST",
        "ENOTEMPTY",
        "EISDIR",
        "ENODATA",
        "ENAMETOOLONG",
    }


def lose_mode(path: bytes) -> None:
    os.chmod(path, 0o600)


def lose_attributes(path: bytes) -> None:
    for name in os.listxattr(path):
        if name.startswith("user."):
            os.removexattr(path, name)


def lose_last_byte(path: bytes) -> None:
    os.truncate(path, os.stat(path).st_size - 1)


def lose_page(path: bytes) -> None:
    with open(path, "r+b") as file:
        file.write(b"\0" * 4096)


@pytest.mark.parametrize(
    ("operation", "fault"),
    [("chmod", lose_mode), ("set_attribute", lose_attributes), ("append", lose_last_byte), ("write", lose_page)],
)
def test_a_file_system_that_loses_something_is_seen(
    tmp_path: Path, operation: str, fault: Callable[[bytes], None]
) -> None:
    def losing(right: Operation) -> Operation:
        def carry_out(exerciser: Exerciser, path: bytes) -> object:
            result = right(exerciser, path)
            with contextlib.suppress(OSError):
                fault(path)
            return result

        return functools.wraps(right)(carry_out)

    right = outcomes(tmp_path / "one", 1)
    (tmp_path / "two").mkdir()
    broken = [(losing(one) if one.__name__ == operation else one, weight) for one, weight in WEIGHTS]
    assert Exerciser(tmp_path / "two", 1, broken).run(1500) != right


def test_an_error_that_no_race_explains_ends_the_run(tmp_path: Path) -> None:
    def broken(exerciser: Exerciser, path: bytes) -> object:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        Exerciser(tmp_path, 1, [(operations.write, 1), (broken, 1)]).run(100)


def test_several_processes_race_to_their_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.posix.exercise", str(tmp_path), "--operations=2000", "--seed=7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sum(len(files) for _, _, files in os.walk(tmp_path)) > 20
