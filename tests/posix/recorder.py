"""A writer that tells what it was promised: each operation before it is tried, and again when the system call returned.

    python -m tests.posix.recorder DIRECTORY [--workers 4] [--seconds 5] [--first 1] [--seed 1]

It prints to a pipe, which outlives the writer's machine; `ledger.Ledger` reads it and knows what must be there. Each
worker has a folder of its own, and numbers its operations; a number is part of whatever the operation writes:

- slots: blocks of 4 KiB in one file, written over and over, up to 16 at once, some through O_DSYNC;
- a log that is appended to, record by record, one file for each run;
- names: a whole file under another name, renamed over the one before, or unlinked;
- fsync of the slots, the log or the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

SLOT_BYTES = 4096
SLOTS = 64
RUN_SLOTS_MAX = 16
RECORD_BYTES = 128
NAMES = 8
FENCED = (errno.EIO, errno.ENOTCONN, errno.EROFS, errno.ECONNABORTED, errno.ENOSPC, errno.ENOENT, errno.ESTALE)
"""How a directory ends that is no longer served, or that the writer finds covered or empty; not the writer's fault."""


def content(worker: int, what: str, number: int, size: int) -> bytes:
    """What an operation writes: its origin in words, then bytes that only it has."""
    head = f"{worker} {what} {number}\n".encode()
    return head + hashlib.shake_128(head).digest(size - len(head))


class Worker:
    """One writer in a folder of its own."""

    def __init__(self, folder: Path, worker: int, first: int, seed: int) -> None:
        self.folder = folder / f"w{worker}"
        self.worker = worker
        self.number = first - 1
        self.random = random.Random(f"{seed} {worker} {first}")
        self.log_name = f"log-{first}"
        self.records = 0

    def run(self, until_s: float) -> None:
        """Operations until CLOCK_MONOTONIC says so, or until the directory is no longer served."""
        try:
            with self._told("folder", "mkdir"):
                self.folder.mkdir(exist_ok=True)
                _sync(self.folder.parent)
            slots = os.open(self.folder / "slots", os.O_RDWR | os.O_CREAT, 0o644)
            synced = os.open(self.folder / "slots", os.O_RDWR | os.O_DSYNC)
            log = os.open(self.folder / self.log_name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            while time.monotonic() < until_s:
                self._operation(slots, synced, log)
        except OSError as error:
            if error.errno not in FENCED:
                raise
            self._tell("!", errno.errorcode[error.errno], "")

    def _operation(self, slots: int, synced: int, log: int) -> None:
        kind = self.random.choices(["slots", "synced", "log", "name", "unlink", "fsync"], [40, 2, 30, 10, 3, 2])[0]
        if kind in ("slots", "synced"):
            self._write_slots(synced if kind == "synced" else slots, kind)
        elif kind == "log":
            self._append(log)
        elif kind == "fsync":
            self._fsync(slots, log)
        else:
            self._name(kind == "unlink")

    def _write_slots(self, descriptor: int, kind: str) -> None:
        """Several slots with one call; the kernel may do a part only, which is all that is promised then."""
        count = self.random.choice((1, 1, 1, 2, RUN_SLOTS_MAX))
        first = self.random.randrange(SLOTS - count + 1)
        number = self._next()
        blocks = [content(self.worker, f"slot {slot}", number, SLOT_BYTES) for slot in range(first, first + count)]
        with self._told(kind, f"{first}+{count}", number):
            written = os.pwrite(descriptor, b"".join(blocks), first * SLOT_BYTES)
            assert written == count * SLOT_BYTES, "a short write"

    def _append(self, log: int) -> None:
        with self._told("log", f"{self.log_name}+{self.records}", self._next()):
            os.write(log, content(self.worker, self.log_name, self.records, RECORD_BYTES))
        self.records += 1

    def _fsync(self, slots: int, log: int) -> None:
        what = self.random.choice(("slots", self.log_name, "folder"))
        with self._told("fsync", what):
            if what == "folder":
                _sync(self.folder)
            else:
                os.fsync(slots if what == "slots" else log)

    def _name(self, unlink: bool) -> None:
        name = f"name-{self.random.randrange(NAMES)}"
        if unlink:
            if not (self.folder / name).exists():
                return
            with self._told("absent", name, self._next()):
                (self.folder / name).unlink()
            return
        number = self._next()
        unfinished = self.folder / f".{name}"
        with open(unfinished, "wb") as file:
            file.write(content(self.worker, name, number, self.random.randrange(64, 20_000)))
            file.flush()
            os.fsync(file.fileno())
        with self._told("name", name, number):
            unfinished.rename(self.folder / name)

    def _next(self) -> int:
        self.number += 1
        return self.number

    @contextlib.contextmanager
    def _told(self, kind: str, what: str, number: int = 0) -> Iterator[None]:
        self._tell("+", kind, what, number)
        yield
        self._tell("=", kind, what, number)

    def _tell(self, phase: str, kind: str, what: str, number: int = 0) -> None:
        """One write, so that lines of several workers do not mix (pipe(7), PIPE_BUF)."""
        os.write(sys.stdout.fileno(), f"{phase} {self.worker} {kind} {what or '-'} {number}\n".encode())


def _end(children: list[int]) -> NoReturn:
    """The end of the parent is the end of its workers, in the middle of what they do."""
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    os._exit(0)


def _sync(folder: Path) -> None:
    """The folder's entries are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> None:
    """Entry of `python -m tests.posix.recorder`: the workers, each a process; ends when all have."""
    parser = argparse.ArgumentParser(prog="tests.posix.recorder", description="Write, and tell what was promised.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--first", type=int, default=1, help="the first operation's number, above all earlier ones")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    until_s = time.monotonic() + arguments.seconds
    children: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: _end(children))
    for worker in range(arguments.workers):
        child = os.fork()
        if child == 0:
            status = 1
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                Worker(arguments.directory, worker, arguments.first, arguments.seed).run(until_s)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(ends))


if __name__ == "__main__":
    main()
