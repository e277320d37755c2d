"""A mirrored directory on XFS does what XFS does, and the other one has the same afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.waiting import until
from mirrord.compare import differences, listing
from tests.mirror.serving import ROOT, served

pytestmark = pytest.mark.needs_root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    image, folder = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def outcomes(program: str, folder: Path, *arguments: str) -> list[str]:
    command = [sys.executable, "-m", program, str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("program", "arguments"),
    [("tests.posix.exercise", ("--seed=1", "--processes=1")), ("tests.posix.trials", ("--part=17/31",))],
)
def test_xfs_is_as_it_is(disk: Path, program: str, arguments: tuple[str, ...]) -> None:
    plain, mirrored, peer = (disk / name for name in ("plain", "mirrored", "peer"))
    for folder in (plain, mirrored, peer):
        folder.mkdir()
    expected = outcomes(program, plain, *arguments)
    with served(mirrored, peer):
        assert outcomes(program, mirrored, *arguments) == expected
        until(lambda: not differences(listing(mirrored), listing(peer)), "times to settle")
    assert not differences(listing(mirrored), listing(peer))
