"""Walking through a tree in small steps, reading nothing but folders."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from mirrord.volume.files import syscalls

_ENTRIES_EACH = 32

_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NOATIME


class Found(NamedTuple):
    """A thing that was looked for, and where it was when the walk came by."""

    inode: int
    folder: int
    """The inode number of the folder it is in; 0: it is the root."""
    name: bytes
    path: bytes
    """Relative to the root, without a slash at its beginning."""
    is_folder: bool
    is_file: bool
    folder_handle: bytes
    folder_fd: int
    """Open until the walk goes on. Both are right where the path is not any more."""


def walk(root_fd: int, wanted: Callable[[int], bool]) -> Iterator[Found | None]:
    """Every thing whose inode number is wanted; None after each folder and after some entries of a large one, so that
    the caller can do something else.

    Folders are entered by handle, so a folder that is renamed meanwhile is still walked. One that is moved behind the
    walk's back to a place that it has passed is found if `wanted` was so before: whoever moves it has to tell.
    """
    root = os.fstat(root_fd)
    if wanted(root.st_ino):
        yield Found(root.st_ino, 0, b"", b"", True, False, b"", root_fd)
    waiting = deque([(syscalls.handle_of(root_fd), root.st_ino, b"")])
    while waiting:
        handle, inode, path = waiting.pop()
        try:
            fd = syscalls.open_by_handle(root_fd, handle, _READ)
        except OSError:
            continue  # it is no more
        try:
            for number, entry in enumerate(os.scandir(fd), 1):
                name = os.fsencode(entry.name)
                place = path + b"/" + name if path else name
                is_folder, is_file = entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)
                if wanted(entry.inode()):
                    yield Found(entry.inode(), inode, name, place, is_folder, is_file, handle, fd)
                if is_folder:
                    with suppress(FileNotFoundError):
                        waiting.append((syscalls.handle_of(fd, name), entry.inode(), place))
                if number % _ENTRIES_EACH == 0:
                    yield None
        finally:
            os.close(fd)
        yield None
