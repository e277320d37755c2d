"""Thousands of random calls give the same in a mirrored directory as in a plain one, and the peer has the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab.waiting import until
from mirrord.compare import differences, listing
from tests.mirror.serving import ROOT, served

pytestmark = pytest.mark.needs_root

_COUNT = 3000


def outcome(directory: Path, seed: int) -> list[str]:
    command = [sys.executable, "-m", "tests.mirror.random_calls", str(directory), str(seed), str(_COUNT)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.parametrize("seed", range(1, 5))
def test_random_calls(tmp_path: Path, seed: int) -> None:
    plain, mirrored, peer = (tmp_path / name for name in ("plain", "mirrored", "peer"))
    for directory in (plain, mirrored, peer):
        directory.mkdir()
    expected = outcome(plain, seed)
    assert len(expected) == _COUNT
    with served(mirrored, peer):
        for here, there in zip(outcome(mirrored, seed), expected, strict=True):
            assert here == there
        until(lambda: not differences(listing(mirrored), listing(peer)), "times to settle")
    assert not differences(listing(mirrored), listing(peer))
