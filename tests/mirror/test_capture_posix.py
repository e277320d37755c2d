"""What applications see of a mirrored directory is what they see of a plain one, and the peer has the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.waiting import until
from mirrord.compare import Listing, differences, listing
from tests.mirror.scenarios import SCENARIOS, USER
from tests.mirror.serving import ROOT, served

Seen = dict[str, Any]
KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])


def prepare(directory: Path) -> None:
    """What root has made before a user comes."""
    directory.mkdir()
    directory.chmod(0o777)
    shared = directory / "shared"
    shared.mkdir()
    for name, mode in (("others", 0o666), ("secret", 0o600), ("readable", 0o644), ("writable", 0o666)):
        (shared / name).write_text("x")
        (shared / name).chmod(mode)
    (shared / "folder").mkdir()
    (shared / "closed").mkdir(mode=0o700)
    shared.chmod(0o1777)


def run(directory: Path) -> tuple[Seen, Seen]:
    """What a user and then root see of all scenarios."""
    by_user, by_root = (_run(directory, uid) for uid in (USER, 0))
    return by_user, by_root


def _run(directory: Path, uid: int) -> Seen:
    command = [sys.executable, "-m", "tests.mirror.scenarios", str(directory), str(uid)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    found: Seen = json.loads(ended.stdout)
    return found


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not in pytest's folders, which users must not look into."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="test-posix-") as name:
        made = Path(name)
        made.chmod(0o755)  # the user comes through
        prepare(made / "plain")
        for copy in ("mirrored", "peer"):
            subprocess.run(["cp", "-a", made / "plain", made / copy], check=True)
        yield made


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> tuple[tuple[Seen, Seen], tuple[Seen, Seen], Listing]:
    """Of the plain directory, of the mirrored one, and what the latter looked like when all was settled."""
    plain = run(folder / "plain")
    with served(folder / "mirrored", folder / "peer"):
        mirrored = run(folder / "mirrored")
        until(lambda: not differences(listing(folder / "mirrored"), listing(folder / "peer")), "times to settle")
        seen = listing(folder / "mirrored")
    return plain, mirrored, seen


@pytest.mark.parametrize("name", sorted(SCENARIOS))
@pytest.mark.parametrize("who", [0, 1], ids=["user", "root"])
def test_a_scenario(name: str, who: int, outcomes: tuple[tuple[Seen, Seen], tuple[Seen, Seen], Any]) -> None:
    plain, mirrored, _ = outcomes
    if name == "birth_time" and KERNEL < (6, 6):
        pytest.skip("this kernel's FUSE has no STATX")
    assert isinstance(plain[who][name], list), plain[who][name]
    assert mirrored[who][name] == plain[who][name]


def test_the_peer_has_the_same(folder: Path, outcomes: tuple[Any, Any, Listing]) -> None:
    beneath, peer = listing(folder / "mirrored"), listing(folder / "peer")
    assert len(beneath) > 1000
    assert differences(outcomes[2], beneath) == []
    assert differences(beneath, peer) == []
