"""Locks between processes of one machine: files under the run folder, held with flock(2).

The kernel lets go of a lock when its holder dies, however it dies, so a lock that is held is a process that lives.
A lock file is removed when its holder is done with it, so nothing is left in the run folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from farmd.errors import MachineError

_PROBE_S = 0.1  # longer than another process takes to try a lock and let go of it


def run_folder() -> Path:
    """The folder of sockets and locks: FARMD_RUN, or /run/farmd."""
    return Path(os.environ.get("FARMD_RUN", "/run/farmd"))


class Lock:
    """An exclusive lock, held from `take()` until `release()` or the end of the process. The file says who holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def take(self, wait: bool = True) -> bool:
        """Take the lock; without `wait`, return False at once if somebody has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                os.close(fd)
                return False
            if _is_file(fd, self.path):
                break
            os.close(fd)  # its last holder removed the file while we waited for it
        self._fd = fd
        self.sign(os.getpid())
        return True

    def sign(self, pid: int) -> None:
        """Write into the file who holds the lock: this process, or a child that inherits it."""
        os.ftruncate(self.fileno(), 0)
        os.pwrite(self.fileno(), str(pid).encode(), 0)

    def fileno(self) -> int:
        """The descriptor that carries the lock: a child that inherits it prolongs the lock to its own end."""
        assert self._fd is not None, "the lock is not held"
        return self._fd

    def holder(self) -> int:
        """The process that holds the lock, if somebody does; 0 if the file does not say."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self.path.read_text())
        return 0

    def release(self) -> None:
        """Let go, and remove the file."""
        if self._fd is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Lock:
        self.take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def hold_farm_lock(name: str) -> Lock:
    """The sign that the farm's daemon lives on this machine; raises MachineError if another process gives it."""
    lock = Lock(_farm_lock_path(name))
    deadline = time.monotonic() + _PROBE_S
    while not lock.take(wait=False):
        # Who only asks whether the daemon lives holds the lock for some microseconds; a daemon holds it for good.
        if time.monotonic() > deadline:
            raise MachineError(f"a farm or mirror named {name} already runs here (pid {lock.holder() or 'unknown'})")
        time.sleep(_PROBE_S / 20)
    return lock


def farm_lock_is_held(name: str) -> bool:
    """Whether a daemon of the farm lives on this machine, this process included."""
    try:
        fd = os.open(_farm_lock_path(name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _farm_lock_path(name: str) -> Path:
    return run_folder() / f"{name}.lock"


def _is_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
