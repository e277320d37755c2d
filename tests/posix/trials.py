"""Every call in every situation by every user: what it came to, and what it changed, times included.

python -m tests.posix.trials DIRECTORY [--part 0/1]     a line for each trial, to be compared with another file system

What is compared of times is whether they moved. Each trial has objects of its own, older than the clock's last tick.
"""

from __future__ import annotations

import argparse
import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.waiting import until
from tests.posix.attempts import PAIRS, SINGLE
from tests.posix.situations import ORDINARY, PATHS, PERMISSIONS, STRANGER, USERS, WRITABLE_BY_ANYBODY, Situation

TOGETHER = 64
"""Trials whose objects are made before the first of them is carried out."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One call. With two paths, the second situation is in a folder beside that of the first."""

    call: str
    user: int
    first: Situation
    second: Situation | None = None

    def build(self, folder: Path) -> None:
        for name, situation in (("one", self.first), ("two", self.second)):
            if situation:
                (folder / name).mkdir()
                situation.build(folder / name)

    def carry_out(self, folder: Path) -> object:
        first = _path(folder / "one", self.first)
        if self.second is None:
            return SINGLE[self.call](first)
        return PAIRS[self.call](first, _path(folder / "two", self.second))

    def __str__(self) -> str:
        second = f" -> {self.second.name}" if self.second else ""
        return f"{self.call}, {self.user}, {self.first.name}{second}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What stat(2) says of an object."""

    inode: int
    kind: int
    shown: tuple[str, ...]
    times: tuple[int, int]


def trials() -> Iterator[Trial]:
    """All of them, in a fixed order."""
    for situation in (*ORDINARY, *PERMISSIONS, *PATHS):
        for user in USERS:
            yield from (Trial(call, user, situation) for call in SINGLE if not _is_unknown(call, user, situation))
    for user in USERS:
        for first in (*ORDINARY, *PERMISSIONS, *PATHS):
            yield from (Trial(call, user, first, second) for second in _seconds(first) for call in PAIRS)


def _is_unknown(call: str, user: int, situation: Situation) -> bool:
    """FUSE does not say what is about to clear suid: chown(-1, -1), or fallocate(2), as whoever may write may do."""
    return call == "chown nobody" and user == STRANGER and situation in WRITABLE_BY_ANYBODY


def _seconds(first: Situation) -> tuple[Situation, ...]:
    """What is worth being combined: everything with what is ordinary."""
    everything = (*ORDINARY, *PERMISSIONS, *PATHS)
    return everything if first.name in ("file", "folder") else ORDINARY[:4]


def run(directory: Path, chosen: list[Trial]) -> Iterator[str]:
    """A line for each."""
    for start in range(0, len(chosen), TOGETHER):
        batch = {directory / f"{start + place}": trial for place, trial in enumerate(chosen[start : start + TOGETHER])}
        for folder, trial in batch.items():
            folder.mkdir()
            trial.build(folder)
        _wait_tick()
        for folder, trial in batch.items():
            yield f"{trial}: {_outcome(trial, folder)}"


def _outcome(trial: Trial, folder: Path) -> str:
    before = looked(folder)
    os.setegid(trial.user)
    os.seteuid(trial.user)
    try:
        result = str(trial.carry_out(folder))
    except OSError as error:
        result = errno.errorcode[error.errno or 0]
    finally:
        os.seteuid(0)
        os.setegid(0)
    return "; ".join([result, *_changes(folder, before, looked(folder))])


def looked(folder: Path) -> dict[str, Facts]:
    """Everything below a folder."""
    found = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        found[entry.path] = _facts(os.lstat(entry.path))
        if entry.is_dir(follow_symlinks=False):
            found |= looked(Path(entry.path))
    return found


def _facts(found: os.stat_result) -> Facts:
    kind = stat.S_IFMT(found.st_mode)
    size = "" if kind == stat.S_IFDIR else f"{found.st_size} bytes"
    shown = (f"{found.st_mode:o}", f"{found.st_uid}:{found.st_gid}", f"{found.st_nlink} links", size)
    return Facts(found.st_ino, kind, shown, (found.st_mtime_ns, found.st_ctime_ns))


def _changes(folder: Path, before: dict[str, Facts], after: dict[str, Facts]) -> Iterator[str]:
    names = {facts.inode: path for path, facts in reversed(before.items())}
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        told = _short(path, folder)
        if new is None:
            yield f"{told} is gone"
        elif new.inode not in names:
            yield f"{told} is new: {' '.join(new.shown)} {_attributes(path)}"
        else:
            was = before[names[new.inode]]
            moved = [name for name, one, other in zip(_TIMES, was.times, new.times, strict=True) if one != other]
            came = "" if names[new.inode] == path or old == was else f"was {_short(names[new.inode], folder)} "
            shown = new.shown if was.shown != new.shown else ()
            yield f"{told} {came}{' '.join((*shown, *moved))} {_attributes(path)}"


def _short(path: str, folder: Path) -> str:
    told = os.path.relpath(path, folder)
    return told if len(told) < 50 else f"{told[:20]}({len(told)})"


def _attributes(path: str) -> str:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return " ".join(f"{name}={os.getxattr(path, name, follow_symlinks=False).hex()}" for name in names)


def _path(folder: Path, situation: Situation) -> bytes:
    # Not with Path, which would tidy it up.
    return os.fsencode(f"{folder}/{situation.path}" if situation.path else "")


def _wait_tick() -> None:
    """Until the clock that file systems take times from has moved."""
    now = time.clock_gettime_ns(_COARSE)
    until(lambda: time.clock_gettime_ns(_COARSE) != now, "the clock to move", interval_s=0.0005)


_TIMES = ("mtime", "ctime")
"""Those that are looked at: reading does not move atime on a mirror."""

_COARSE = 5
"""CLOCK_REALTIME_COARSE, which Python's time has no name for."""


def main() -> None:
    """Entry of `python -m tests.posix.trials`; prints the outcomes."""
    parser = argparse.ArgumentParser(prog="tests.posix.trials", description="Every call in every situation.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--part", default="0/1", help="one of so many parts: 3/8 takes each eighth, from the fourth on")
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    os.umask(0o022)
    os.setgroups([])
    for line in run(arguments.directory, list(trials())[part::parts]):
        print(line)


if __name__ == "__main__":
    main()
