"""Where a resync puts aside what must leave its place but may be wanted in another one.

A folder in the root of the tree, on the secondary only, there until the resync has made all names right. What is left
in it then is removed; so is what a crash left in it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable

NAME = b".mirrord-resync"

Leave = Callable[[int, bytes, bytes], None]
"""Takes a folder's descriptor, a name in it, and the path at which it was: the thing goes."""


class Staging:
    """The folder of one tree."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._fd = -1
        self._paths: dict[bytes, bytes] = {}

    def take(self, folder_fd: int, name: bytes, path: bytes) -> None:
        """A thing leaves its place; `path` is where it was."""
        aside = self._name(path)
        os.rename(name, aside, src_dir_fd=folder_fd, dst_dir_fd=self._fd)

    def link(self, folder_fd: int, name: bytes, path: bytes) -> None:
        """The same, but the name is somebody else's to remove."""
        aside = self._name(path)
        os.link(name, aside, src_dir_fd=folder_fd, dst_dir_fd=self._fd, follow_symlinks=False)

    def empty(self, leave: Leave) -> None:
        """Whatever nobody wanted goes, and the folder with it. May be called by another thread."""
        if self._fd < 0 and not _exists(self._root_fd, NAME):
            return
        fd = self._open() if self._fd < 0 else self._fd
        for name in os.listdir(fd):
            raw = os.fsencode(name)
            leave(fd, raw, self._paths.get(raw, NAME + b"/" + raw))
        os.close(fd)
        self._fd = -1
        self._paths.clear()
        os.rmdir(NAME, dir_fd=self._root_fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _name(self, path: bytes) -> bytes:
        if self._fd < 0:
            self._fd = self._open()
        aside = b"%d" % len(self._paths)
        while _exists(self._fd, aside):
            aside += b"_"  # of an earlier run that was cut off
        self._paths[aside] = path
        return aside

    def _open(self) -> int:
        if not _exists(self._root_fd, NAME):
            os.mkdir(NAME, 0o700, dir_fd=self._root_fd)
        return os.open(NAME, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._root_fd)


def remove(folder_fd: int, name: bytes, path: bytes = b"") -> None:
    """A thing and all that is in it."""
    if stat.S_ISDIR(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode):
        shutil.rmtree(name, dir_fd=folder_fd)
    else:
        os.unlink(name, dir_fd=folder_fd)


def _exists(folder_fd: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
