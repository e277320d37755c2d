"""The state on a real disk: one that is full, and one whose power is cut at each step of saving."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from lab.mirror_disk import EXT4_GOING_FLAGS_NOLOGFLUSH, EXT4_IOC_SHUTDOWN
from mirrord import store as under_test
from mirrord.core.generations import HISTORY_MAX, Condition, Generation, State
from mirrord.store import Store
from mirrord.volume.files import syscalls

pytestmark = pytest.mark.needs_root

FIRST = State(Generation(3, 1), (), Condition.INSYNC)
LONGEST = State(
    Generation(2**64 - 1, 255), tuple(Generation(2**64 - 2 - n, 255) for n in range(HISTORY_MAX)), Condition.OUTDATED
)

NEVER = 0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("disk") / "ext4"
    with path.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", path], check=True)
    with mounted(path) as disk:
        save(disk, FIRST)
    return path


@contextlib.contextmanager
def mounted(image: Path) -> Iterator[Path]:
    disk = image.with_suffix(".mounted")
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def save(disk: Path, state: State) -> None:
    with contextlib.closing(Store(disk / "db")) as store:
        store.save(state)


def load(disk: Path) -> State:
    with contextlib.closing(Store(disk / "db")) as store:
        return store.load()


def fill(path: Path) -> None:
    """Takes the last block that a file can get."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        for _ in iter(lambda: file.write(bytes(1 << 12)), 0):
            pass


def test_a_full_disk_takes_every_further_state(image: Path) -> None:
    with mounted(image) as disk:
        fill(disk / "filler")
        for state in (FIRST, LONGEST, State(), LONGEST):
            save(disk, state)
            assert load(disk) == state
        (disk / "filler").unlink()
        save(disk, FIRST)


def test_the_longest_state_does_not_change_the_size_of_the_file(tmp_path: Path) -> None:
    for state in (State(), LONGEST):
        save(tmp_path, state)
        assert {path.stat().st_size for path in (tmp_path / "db").iterdir()} == {under_test.FILE_BYTES}


class PowerCut:
    """Cuts a disk's power before the step of saving with this number; its own steps are calls out of store.py."""

    def __init__(self, disk: Path, at: int) -> None:
        self.steps = 0
        self._at = at
        self._disk = os.open(disk, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        os.close(self._disk)

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "c_call" and frame.f_code.co_filename in (under_test.__file__, syscalls.__file__):
            self.steps += 1
            if self.steps == self._at:
                fcntl.ioctl(self._disk, EXT4_IOC_SHUTDOWN, struct.pack("=I", EXT4_GOING_FLAGS_NOLOGFLUSH))


def cut_while_saving(disk: Path, state: State, step: int) -> tuple[int, OSError | None, bool]:
    """How many steps there were, what became of it, and whether it may be there nevertheless."""
    failure = None
    with contextlib.closing(Store(disk / "db")) as store, contextlib.closing(PowerCut(disk, step)) as cut:
        sys.setprofile(cut)
        try:
            store.save(state)
        except OSError as error:
            failure = error
        finally:
            sys.setprofile(None)
    return cut.steps, failure, store.in_doubt


def test_a_power_cut_at_any_step_leaves_the_state_before_or_the_one_after(image: Path, tmp_path: Path) -> None:
    left = set()
    copy = tmp_path / "ext4"
    shutil.copy(image, copy)
    with mounted(copy) as disk:
        steps, _, in_doubt = cut_while_saving(disk, LONGEST, NEVER)
    assert steps > 10
    assert not in_doubt
    doubts = 0
    for step in range(1, steps + 1):
        shutil.copy(image, copy)
        with mounted(copy) as disk:
            _, failure, in_doubt = cut_while_saving(disk, LONGEST, step)
        with mounted(copy) as disk:
            state = load(disk)
            assert state in (FIRST, LONGEST)
            if failure is None:
                assert state == LONGEST, f"saved before step {step}, and gone"
            else:
                assert failure.errno == errno.EIO
                assert in_doubt or state == FIRST, f"refused before step {step}, and there"
                doubts += in_doubt
            left.add(state)
            save(disk, State())
            assert load(disk) == State()
    assert left == {FIRST, LONGEST}
    assert 0 < doubts < steps / 2
