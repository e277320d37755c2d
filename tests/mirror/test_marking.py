"""What a change marks in the journal before it is made: what it takes away, however far its range reaches."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mirrord.core.zones import RANGE_ZONES_MAX
from mirrord.orders import Opened
from mirrord.volume.files import syscalls
from tests.mirror.volumes import Pair, pair

pytestmark = pytest.mark.needs_root

_FAR = 100 << 30
_HUGE = 4 << 40
_TOO_FAR = 1 << 45
"""No file of ext4 is as long."""
_PUNCH = 3


@pytest.mark.parametrize(
    "change",
    [
        lambda fd: os.ftruncate(fd, 0),
        lambda fd: syscalls.fallocate(fd, _PUNCH, 0, _FAR),
    ],
    ids=["shorten", "punch"],
)
def test_a_hole_of_many_zones_takes_no_marks(linked: Pair, change: Callable[[int], None]) -> None:
    with open(linked.first.data / "file", "wb+", buffering=0) as file:
        os.ftruncate(file.fileno(), _FAR)
        os.pwrite(file.fileno(), b"x", _FAR // 2)
        change(file.fileno())
    assert linked.first.figures()["zones"] < 50


def test_content_that_is_taken_away_is_marked(tmp_path: Path) -> None:
    for name in ("data", "state"):
        (tmp_path / "node1" / name).mkdir(parents=True)
    (tmp_path / "node1" / "data" / "file").write_bytes(b"x" * (20 << 20))
    with pair(tmp_path) as both:
        both.alone()
        both.link()
        assert both.first.figures()["zones"] == 0
        os.truncate(both.first.data / "file", 1)
        assert both.first.figures()["zones"] >= 5


def test_what_the_file_system_refuses_is_refused_at_once(linked: Pair) -> None:
    began = time.monotonic()
    with open(linked.first.data / "file", "wb", buffering=0) as file:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            os.ftruncate(file.fileno(), _TOO_FAR)
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            syscalls.fallocate(file.fileno(), 0, 0, _TOO_FAR)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "change",
    [
        lambda fd: os.ftruncate(fd, 0),
        lambda fd: syscalls.fallocate(fd, _PUNCH, 0, _HUGE),
    ],
    ids=["shorten", "punch"],
)
def test_content_all_over_a_huge_file_is_taken_away_with_one_mark(linked: Pair, change: Callable[[int], None]) -> None:
    """4 TiB with something in more zones than are looked for; all of them would be a million."""
    places = range(0, _HUGE, _HUGE // (RANGE_ZONES_MAX + 100))
    with open(linked.first.data / "file", "wb+", buffering=0) as file, ThreadPoolExecutor(32) as threads:
        file.truncate(_HUGE)
        list(threads.map(lambda at: os.pwrite(file.fileno(), b"x", at), places))
        before = linked.first.figures()["zones"]
        began = time.monotonic()
        change(file.fileno())
        took_s = time.monotonic() - began
    assert before > RANGE_ZONES_MAX
    assert linked.first.figures()["zones"] < 50, "the group's zones have become one"
    assert took_s < 5
    linked.first.kill()
    assert linked.start(1).wait(Opened).unclean
