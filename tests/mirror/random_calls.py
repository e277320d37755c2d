"""Random system calls in a directory, the same ones for the same seed, with what each gave.

`python -m tests.mirror.random_calls DIRECTORY SEED COUNT` prints a line a call; two directories of one file system must
give the same lines. Names are few, so that calls meet: on hard links, directories in directories, replaced and unlinked
files that are open. Seen are results, errors, attributes and whose mtime and ctime move, but no inode numbers.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
import sys
from collections.abc import Callable
from typing import Any

from mirrord.volume.files import syscalls
from tests.mirror.scenarios import link_descriptor, rename2, tried

FOLDERS = [".", "d0", "d1", "d2", "d0/e", "d0/e/g"]
FILES = [f"f{number}" for number in range(5)]
READ_MAX = 1 << 20
OPEN_MAX = 8
NULL = os.makedev(1, 3)
"""/dev/null: calls reach devices too."""


class Calls:
    """The state of one run: what chance says, and the descriptors that are open."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.open: list[int] = []

    def step(self) -> list[Any]:
        """One call: its name, where, what it gave, and what is there now."""
        call = self.chance.choice(CALLS)
        first, second = self.path(), self.path()
        watched = (first, second, os.path.dirname(first) or ".", os.path.dirname(second) or ".")
        before = [stamps(path) for path in watched]
        result = call(self, first, second)
        moved = [told(was, now) for was, now in zip(before, map(stamps, watched), strict=True)]
        return [call.__name__, first, second, result, seen(first), seen(second), moved]

    def path(self) -> str:
        if self.chance.random() < 0.25:
            return self.chance.choice(FOLDERS[1:])
        return os.path.join(self.chance.choice(FOLDERS), self.chance.choice(FILES))

    def number(self, end: int = 200_000) -> int:
        return self.chance.randrange(end)

    def keep(self, opened: Any) -> Any:
        """Leaves a new descriptor open, and closes an old one if they are many."""
        if not isinstance(opened, int):
            return opened
        self.open.append(opened)
        if len(self.open) > OPEN_MAX:
            os.close(self.open.pop(self.number(OPEN_MAX)))
        return "opened"

    def descriptor(self) -> int:
        return self.chance.choice(self.open or [-1])


def stamps(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def told(was: tuple[int, int, int] | None, now: tuple[int, int, int] | None) -> str:
    """Which of mtime and ctime has moved."""
    if was is None or now is None or was[0] != now[0]:
        return "other"
    return "m" * (was[1] != now[1]) + "c" * (was[2] != now[2])


def seen(path: str) -> Any:
    found = tried(os.lstat, path)
    if isinstance(found, str):
        return found
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return [oct(found.st_mode), found.st_nlink, found.st_uid, found.st_gid, size]


def content(descriptor: int) -> str:
    return hashlib.sha256(os.pread(descriptor, READ_MAX, 0)).hexdigest()[:16]


def make(calls: Calls, path: str, _: str) -> Any:
    flags = os.O_CREAT | os.O_RDWR | calls.chance.choice([0, os.O_EXCL, os.O_TRUNC, os.O_APPEND])
    return calls.keep(tried(os.open, path, flags, 0o600 | calls.number(0o1000)))


def make_folder(calls: Calls, path: str, _: str) -> Any:
    return tried(os.mkdir, path, 0o700 | calls.number(0o10000))


def make_special(calls: Calls, path: str, _: str) -> Any:
    kind = calls.chance.choice([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFREG])
    return tried(os.mknod, path, kind | 0o644, NULL)


def make_unnamed(calls: Calls, path: str, _: str) -> Any:
    opened = tried(os.open, calls.chance.choice(FOLDERS), os.O_TMPFILE | os.O_RDWR, 0o640)
    if isinstance(opened, int):
        os.write(opened, b"without a name")
    return opened if isinstance(opened, str) else [tried(link_descriptor, opened, path), calls.keep(opened)]


def symlink(calls: Calls, path: str, other: str) -> Any:
    return tried(os.symlink, calls.chance.choice([other, "nothing", "f0"]), path)


def link(calls: Calls, path: str, other: str) -> Any:
    return tried(os.link, path, other, follow_symlinks=False)


def unlink(calls: Calls, path: str, _: str) -> Any:
    return tried(os.unlink, path)


def remove_folder(calls: Calls, path: str, _: str) -> Any:
    return tried(os.rmdir, path)


def rename(calls: Calls, path: str, other: str) -> Any:
    return rename2(path, other, calls.chance.choice([0, 0, 1, 2]))


def change_mode(calls: Calls, path: str, _: str) -> Any:
    return tried(os.chmod, path, calls.number(0o10000))


def change_owner(calls: Calls, path: str, _: str) -> Any:
    uid, gid = calls.chance.choice([-1, 0, 5]), calls.chance.choice([-1, 0, 7])
    return tried(os.chown, path, uid, gid, follow_symlinks=False)


def change_times(calls: Calls, path: str, _: str) -> Any:
    return tried(os.utime, path, ns=(calls.number(), calls.number()), follow_symlinks=False)


def change_attribute(calls: Calls, path: str, _: str) -> Any:
    name = f"user.{calls.number(2)}"
    if calls.chance.random() < 0.3:
        return tried(os.removexattr, path, name, follow_symlinks=False)
    return tried(os.setxattr, path, name, b"v" * calls.number(300), calls.number(3), follow_symlinks=False)


def change_size(calls: Calls, path: str, _: str) -> Any:
    return tried(os.truncate, path, calls.number())


def write(calls: Calls, path: str, _: str) -> Any:
    return tried(os.pwrite, calls.descriptor(), bytes([1 + calls.number(250)]) * calls.number(20_000), calls.number())


def shorten(calls: Calls, path: str, _: str) -> Any:
    return tried(os.ftruncate, calls.descriptor(), calls.number())


def allocate(calls: Calls, path: str, _: str) -> Any:
    mode = calls.chance.choice([0, 1, 3, 16, 17])  # plain, keep size, punch, zero, zero and keep size
    return tried(syscalls.fallocate, calls.descriptor(), mode, calls.number(), 1 + calls.number())


def read(calls: Calls, path: str, _: str) -> Any:
    return tried(content, calls.descriptor())


def read_by_name(calls: Calls, path: str, _: str) -> Any:
    opened = tried(os.open, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not isinstance(opened, int):
        return opened
    found = tried(content, opened)
    os.close(opened)
    return found


def list_names(calls: Calls, path: str, _: str) -> Any:
    found = tried(os.listdir, path)
    return sorted(found) if isinstance(found, list) else found


CALLS: list[Callable[[Calls, str, str], Any]] = [
    make, make, make, make_folder, make_special, make_unnamed, symlink, link, link, unlink, unlink, remove_folder,
    rename, rename, rename, change_mode, change_owner, change_times, change_attribute, change_size, write, write, write,
    shorten, allocate, read, read_by_name, list_names,
]  # fmt: skip


def main(directory: str, seed: int, count: int) -> None:
    os.umask(0o022)
    os.chdir(directory)
    for folder in FOLDERS[1:]:
        os.mkdir(folder)
    calls = Calls(seed)
    for number in range(count):
        print(number, *calls.step())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
