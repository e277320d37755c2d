"""Locks between processes: one holder, no file left, and no two holders while files come and go. No root needed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from farmd.errors import MachineError
from farmd.kit.lock import Lock, farm_lock_is_held, hold_farm_lock
from lab.waiting import until

PATIENCE_S = 10


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARMD_RUN", str(tmp_path))


def test_one_holder_and_no_file_left(tmp_path: Path) -> None:
    lock = hold_farm_lock("web")
    assert farm_lock_is_held("web")
    with pytest.raises(MachineError, match=rf"^a farm or mirror named web already runs here \(pid {os.getpid()}\)$"):
        hold_farm_lock("web")
    lock.release()
    assert not farm_lock_is_held("web")
    assert not any(tmp_path.iterdir())


def test_a_file_without_a_holder_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "web.lock").write_text("1")
    assert not farm_lock_is_held("web")
    hold_farm_lock("web").release()


def test_who_waited_holds_the_file_that_others_find(tmp_path: Path) -> None:
    """The holder removes the file when it lets go, and with it the lock that somebody waits for."""
    path = tmp_path / "@eth0.lock"
    first, second = Lock(path), Lock(path)
    first.take()
    waiting = threading.Thread(target=second.take, daemon=True)
    waiting.start()
    _until_somebody_waits_for(path)
    first.release()
    waiting.join(PATIENCE_S)
    assert not waiting.is_alive()
    assert not Lock(path).take(wait=False)
    second.release()
    assert not path.exists()


def _until_somebody_waits_for(path: Path) -> None:
    """A waiter is a line with an arrow in /proc/locks, see proc_locks(5)."""
    inode, locks = f":{path.stat().st_ino} ", Path("/proc/locks")

    def waits() -> bool:
        return any("->" in line and inode in line for line in locks.read_text().splitlines())

    until(waits, "somebody to wait for the lock", PATIENCE_S)
