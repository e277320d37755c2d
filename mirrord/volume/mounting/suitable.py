"""Whether directories can be mirrored; each reason why not is one sentence. Nothing is changed by looking."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from farmd.errors import MachineError
from mirrord.volume.files import syscalls
from mirrord.volume.mounting import fuse_mount, mounts
from mirrord.volume.mounting.mounts import Mount


def check(directories: Sequence[str]) -> None:
    """Raises MachineError if one of the directories cannot be mirrored here, or not together with the others.

    Covers and mounts of an earlier run are looked through, so they may still be there.
    """
    if not os.path.exists("/dev/fuse"):
        raise MachineError("this kernel has no FUSE: /dev/fuse is missing (modprobe fuse)")
    known = mounts.mounts()
    for directory in directories:
        _check_path(directory)
        _check_mounts(directory, known)
        _check_file_system(directory)
    _check_apart(directories)


def _check_path(directory: str) -> None:
    path = Path(directory)
    for part in (*reversed(path.parents), path):
        try:
            found = os.lstat(part)
        except FileNotFoundError:
            raise MachineError(f"{part} does not exist") from None
        except OSError as error:
            if error.errno == errno.ENOTCONN:
                continue  # what a killed run has left there
            raise MachineError(f"{part} cannot be looked at: {error.strerror}") from None
        if stat.S_ISLNK(found.st_mode):
            raise MachineError(f"{part} is a symbolic link, but a mirrored directory is named by its real path")
        if not stat.S_ISDIR(found.st_mode):
            raise MachineError(f"{part} is not a directory")


def _check_mounts(directory: str, known: Sequence[Mount]) -> None:
    inner = mounts.below(directory, known)
    if inner:
        raise MachineError(f"{inner[0].point} is mounted inside {directory}: mirror it as a directory of its own")
    for mount in mounts.at(directory, known):
        if mount.kind == fuse_mount.KIND:
            if fuse_mount.is_alive(directory):
                raise MachineError(f"{directory} is being mirrored already")
        elif mount.kind.startswith("fuse"):
            raise MachineError(f"{directory} is already mounted by FUSE ({mount.kind})")


def _check_apart(directories: Sequence[str]) -> None:
    for one, other in itertools.permutations(directories, 2):
        if Path(other).is_relative_to(one):
            raise MachineError(f"{other} is inside {one}, which is mirrored with all that is in it")


def _check_file_system(directory: str) -> None:
    """Try what is needed."""
    root = fuse_mount.open_behind(directory)
    try:
        for what, attempt in _NEEDS:
            try:
                attempt(root)
            except OSError as error:
                raise MachineError(f"{directory} is on a file system {what} ({error.strerror})") from None
    finally:
        os.close(root)


def _handles(root: int) -> None:
    descriptor = syscalls.open_by_handle(root, syscalls.handle_of(root), os.O_RDONLY)
    os.close(descriptor)


def _written(root: int) -> None:
    """What changes a file is tried on one that nobody can see."""
    descriptor = os.open(b".", os.O_TMPFILE | os.O_RDWR, 0o600, dir_fd=root)
    try:
        os.setxattr(descriptor, b"user.mirrord", b"")
        os.pwrite(descriptor, b"x", 1 << 20)
        if os.lseek(descriptor, 0, os.SEEK_DATA) == 0:
            raise OSError(errno.EOPNOTSUPP, "SEEK_DATA finds no holes")
        syscalls.fallocate(descriptor, _PUNCH_HOLE, 0, 4096)
    finally:
        os.close(descriptor)


_PUNCH_HOLE = 3
"""FALLOC_FL_PUNCH_HOLE with FALLOC_FL_KEEP_SIZE, without which the kernel refuses it."""

_NEEDS: tuple[tuple[str, Callable[[int], None]], ...] = (
    ("whose files cannot be found by handle, as on ext4 or XFS", _handles),
    ("that lacks extended attributes, holes or files without a name, as ext4 and XFS have them", _written),
)
