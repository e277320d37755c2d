"""The recorder and its ledger agree on a plain file system, and the ledger finds whatever is taken from it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.posix.ledger import Ledger
from tests.posix.recorder import RECORD_BYTES, SLOT_BYTES


def recorder(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.posix.recorder", str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Ledger, Path]:
    ledger = Ledger()
    with recorder(tmp_path, "--seconds=0.4", "--workers=2") as running:
        assert running.stdout
        ledger.read(running.stdout)
    assert running.returncode == 0
    return ledger, tmp_path


def test_what_was_promised_is_there(recorded: tuple[Ledger, Path]) -> None:
    ledger, folder = recorded
    assert ledger.acknowledged > 200
    assert ledger.check(folder) == []
    assert ledger.check(folder, durable=True) == []


def test_a_killed_writer_was_promised_no_more_than_is_there(tmp_path: Path) -> None:
    ledger = Ledger()
    for _ in range(3):
        with recorder(tmp_path, "--seconds=60", "--workers=4", f"--first={ledger.last + 1}") as running:
            assert running.stdout
            ledger.read(running.stdout.readline() for _ in range(2000))
            os.killpg(running.pid, signal.SIGKILL)
            ledger.read(running.stdout)
        assert ledger.check(tmp_path) == []


def old_slot(folder: Path) -> None:
    """The first slot goes back to what it was before all operations."""
    with open(folder / "w0" / "slots", "r+b") as file:
        file.write(b"\0" * SLOT_BYTES)


def torn_slot(folder: Path) -> None:
    with open(folder / "w0" / "slots", "r+b") as file:
        file.seek(SLOT_BYTES - 7)
        file.write(b"another")


def short_log(folder: Path) -> None:
    log = folder / "w1" / "log-1"
    os.truncate(log, log.stat().st_size - RECORD_BYTES)


def wrong_record(folder: Path) -> None:
    with open(folder / "w1" / "log-1", "r+b") as file:
        file.seek(RECORD_BYTES // 2)
        file.write(b"x")


def lost_name(folder: Path) -> None:
    next(folder.glob("w?/name-*")).unlink()


def swapped_names(folder: Path) -> None:
    one, two = sorted((folder / "w0").glob("name-*"))[:2]
    shutil.copy(one, two)


def lost_folder(folder: Path) -> None:
    shutil.rmtree(folder / "w1")


@pytest.mark.parametrize("fault", [old_slot, torn_slot, short_log, wrong_record, lost_name, swapped_names, lost_folder])
def test_the_ledger_finds(fault: Callable[[Path], None], recorded: tuple[Ledger, Path]) -> None:
    ledger, folder = recorded
    fault(folder)
    assert ledger.check(folder) != []


def test_an_operation_that_was_only_tried_may_have_happened_or_not(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.read(["+ 0 name name-1 5\n"])
    assert ledger.check(tmp_path) == []
    ledger.read(["= 0 name name-1 5\n"])
    assert ledger.check(tmp_path) == ["w0 name-1 is of operation 0, and may only be of 5"]
    assert ledger.check(tmp_path, durable=True) == []
    ledger.read(["+ 0 fsync folder 0\n", "= 0 fsync folder 0\n"])
    assert ledger.check(tmp_path, durable=True) != []
    ledger.read(["+ 0 absent name-1 6\n"])
    assert ledger.check(tmp_path) == []
