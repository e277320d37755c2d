"""The journal on a disk that is full, which is a real one: marks go on while there is room, and then are refused."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.waiting import until
from mirrord.core.zones import CHUNK_BYTES, zone
from mirrord.orders import GoAlone
from mirrord.volume.files.syscalls import syncfs
from mirrord.volume.journal.journal_file import ROOM_BYTES
from tests.mirror.test_journal import Desk
from tests.mirror.volumes import equal, pair

pytestmark = pytest.mark.needs_root

_PATIENCE_S = 10
_AT_ONCE = 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True)
    folder.mkdir()
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path, leave_bytes: int = 0) -> Path:
    """All of it but so much."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        syncfs(file.fileno())  # not sync(2): other tests cut the power of what has not been written
        os.truncate(filler, max(0, filler.stat().st_size - leave_bytes))
        syncfs(file.fileno())
    return filler


def some(number: int) -> list[int]:
    """Zones of files of their own."""
    return [zone(64 * (_AT_ONCE * number + index)) for index in range(_AT_ONCE)]


def refused(desk: Desk, zones: list[int]) -> bool:
    """Whether there is no room to mark them."""
    found: list[bool] = []

    def then() -> None:
        with contextlib.suppress(OSError):
            found.append(not desk.journal.covers(0, zones))
            return
        found.append(True)

    desk.journal.mark(0, zones, then)
    while not found:
        desk.run()
    return found[0]


def exhaust(desk: Desk) -> tuple[list[int], list[int]]:
    """Marks as long as there is room. What was marked, and what could not be."""
    marked: list[int] = []
    for number in itertools.count():
        if refused(desk, some(number)):
            return marked, some(number)
        marked += some(number)
    raise AssertionError


def test_a_full_disk_has_room_for_marks_and_to_forget(disk: Path) -> None:
    desk = Desk(disk / "journal")
    desk.clear()
    fill(disk)
    for _ in range(3):
        assert not any(refused(desk, some(number)) for number in range(100))
        assert desk.journal.covers(0, some(50))
        desk.clear()
        assert not desk.journal.covers(0, some(50))
    assert not refused(desk, some(7))
    desk.journal.close()
    again = Desk(disk / "journal")
    assert again.journal.covers(0, some(7))
    assert not again.journal.covers(0, some(50))
    again.journal.close()


def test_what_has_no_room_is_refused_until_there_is_some(disk: Path) -> None:
    desk = Desk(disk / "journal")
    desk.clear()
    filler = fill(disk)
    marked, unmarked = exhaust(desk)
    assert len(marked) > ROOM_BYTES // 2 // 16
    filler.unlink()
    assert not refused(desk, unmarked)
    desk.journal.close()
    again = Desk(disk / "journal")
    assert again.journal.covers(0, marked + unmarked)
    assert not again.journal.distrust
    again.journal.close()


def test_what_can_wait_is_marked_when_there_is_room_again(disk: Path) -> None:
    """A resync must not go on before it is."""
    desk = Desk(disk / "journal")
    desk.clear()
    filler = fill(disk)
    _, unmarked = exhaust(desk)
    done: list[bool] = []
    desk.journal.mark(0, unmarked, lambda: done.append(desk.journal.covers(0, unmarked)), patient=True)
    desk.run()
    assert not done
    filler.unlink()
    while not done:
        desk.run()
    assert done == [True]
    desk.journal.close()


def at_most(limit_s: float, work: Callable[[], object]) -> None:
    began = time.monotonic()
    work()
    assert time.monotonic() - began < limit_s


def test_an_application_is_told_that_the_disk_of_the_journal_is_full(tmp_path: Path, disk: Path) -> None:
    filler = fill(disk, leave_bytes=32 << 10)
    (disk / "state").mkdir()
    with pair(tmp_path, per_node={1: {"folder": str(disk / "state")}}) as both:
        both.alone()
        both.link()
        with (both.first.data / "file").open("wb", buffering=0) as file:
            fill(disk)

            def write_all_over() -> None:
                for number in range(ROOM_BYTES):
                    os.pwrite(file.fileno(), b"x", number * CHUNK_BYTES)

            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                at_most(_PATIENCE_S, write_all_over)
            size = os.fstat(file.fileno()).st_size
            os.pwrite(file.fileno(), b"y", size - 1)  # where it is marked
            filler.unlink()
            os.pwrite(file.fileno(), b"z", size + 99 * CHUNK_BYTES)
            os.ftruncate(file.fileno(), 1)
        until(equal(both.first.data, both.second.data), "both to be equal")


def test_a_follower_whose_journal_is_on_a_full_disk_comes_to_be_in_sync(tmp_path: Path, disk: Path) -> None:
    (disk / "state").mkdir()
    with pair(tmp_path, per_node={2: {"folder": str(disk / "state")}}) as both:
        fill(disk)
        both.alone()
        (both.first.data / "file").write_bytes(b"x" * 100_000)
        both.link()
        until(equal(both.first.data, both.second.data), "both to be equal")
        both.second.kill()
        both.second = both.start(2)
        both.first.obey(GoAlone())
        both.link(2)
