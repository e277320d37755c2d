"""What a large file occupied is given back beside everything else, and who needs the room waits for it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirrord.volume.files.freeing import LARGE_BYTES, Freeing
from tests.mirror.resyncing import disk

LARGE, SMALL = LARGE_BYTES + (1 << 20), LARGE_BYTES - (1 << 20)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path / "disk") as place:
        yield place


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Until it is set, nothing is given back."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def freeing(go: threading.Event) -> Freeing:
    made = Freeing()
    made._thread.submit(go.wait)
    return made


def file(path: Path, size: int) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    os.posix_fallocate(descriptor, 0, size)
    return descriptor


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_large_file_without_a_name_is_let_go_by_a_thread(folder: Path, freeing: Freeing, go: threading.Event) -> None:
    descriptor = file(folder / "file", LARGE)
    os.unlink(folder / "file")
    freeing.close(descriptor)
    assert is_open(descriptor)
    go.set()
    freeing.finish()
    assert not is_open(descriptor)
    assert not freeing.finish()  # there is no more


@pytest.mark.parametrize(("size", "named"), [(LARGE, True), (SMALL, False)])
def test_what_takes_no_time_is_done_at_once(folder: Path, freeing: Freeing, size: int, named: bool) -> None:
    descriptor = file(folder / "file", size)
    if not named:
        os.unlink(folder / "file")
    freeing.close(descriptor)
    assert not is_open(descriptor)


def held(folder: Path) -> list[str]:
    links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    return [place for link in links if os.path.islink(link) and (place := os.readlink(link)).startswith(str(folder))]


@pytest.mark.parametrize("size", [LARGE, SMALL])
def test_a_name_goes_at_once_whatever_was_behind_it(
    folder: Path, freeing: Freeing, go: threading.Event, size: int
) -> None:
    os.close(file(folder / "file", size))
    fd = os.open(folder, os.O_RDONLY)
    with freeing.holding(fd, b"file"):
        os.unlink("file", dir_fd=fd)
    os.close(fd)
    assert held(folder) == [f"{folder}/file (deleted)"] * (size == LARGE)
    go.set()
    freeing.finish()
    assert held(folder) == []


def test_what_keeps_its_name_is_not_held(folder: Path, freeing: Freeing) -> None:
    os.close(file(folder / "file", LARGE))
    os.link(folder / "file", folder / "other")
    fd = os.open(folder, os.O_RDONLY)
    with freeing.holding(fd, b"file"), freeing.holding(fd, b"none"):
        os.unlink("file", dir_fd=fd)
    with pytest.raises(FileExistsError), freeing.holding(fd, b"other"):
        os.mkdir("other", dir_fd=fd)
    os.close(fd)
    assert held(folder) == []


def test_who_needs_the_room_waits_for_it(folder: Path, freeing: Freeing, go: threading.Event) -> None:
    large = file(folder / "file", 600 << 20)
    os.unlink(folder / "file")
    freeing.close(large)
    other = os.open(folder / "other", os.O_CREAT | os.O_RDWR)
    threading.Timer(0.1, go.set).start()
    freeing.with_room(lambda: os.posix_fallocate(other, 0, 600 << 20))
    assert os.fstat(other).st_size == 600 << 20
    os.close(other)


def test_without_anything_to_give_back_full_is_full(folder: Path, freeing: Freeing) -> None:
    other = os.open(folder / "other", os.O_CREAT | os.O_RDWR)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        freeing.with_room(lambda: os.posix_fallocate(other, 0, 2 << 30))
    os.close(other)
