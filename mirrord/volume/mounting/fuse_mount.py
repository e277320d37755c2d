"""Mounts over the replicated directory: the cover, and our own file system for as long as this node serves.

The directory itself is reached through a private detached mount (`open_root`), which nothing that is mounted over the
path hides. A cover stays under the file system, so that there is no moment in which the path leads to the files.
"""

from __future__ import annotations

import contextlib
import errno
import os

from mirrord.volume.fuse.abi import WRITE_BYTES_MAX
from mirrord.volume.mounting import mount_calls, mounts

KIND = "fuse.mirrord"

_OPTIONS = f"rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read={WRITE_BYTES_MAX}"


def open_root(path: str) -> int:
    """A descriptor of the directory behind whatever will be mounted over it. Before anything is."""
    detached = mount_calls.clone(path)
    try:
        return os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOATIME, dir_fd=detached)
    finally:
        os.close(detached)


def open_behind(path: str) -> int:
    """The same for a path over which an earlier run may have left mounts. They stay, unless the directory is a mounted
    file system itself: behind its own covers nobody can reach that."""
    known = mounts.mounts()
    here = mounts.at(path, known)
    if not here or not _is_leftover(here[-1], known):
        return open_root(path)
    if not all(_is_leftover(mount, known) for mount in here):
        uncover(path)
        return open_root(path)
    detached = mount_calls.clone(os.path.dirname(path))
    try:
        return os.open(os.path.basename(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOATIME, dir_fd=detached)
    finally:
        os.close(detached)


def is_alive(path: str) -> bool:
    """Does a process serve what is mounted here?"""
    try:
        os.statvfs(path)
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return False
        raise
    return True


def cover(path: str) -> None:
    """Make the directory read-only for everybody who comes by its path, until `uncover`; done once, it stays."""
    known = mounts.mounts()
    if any(mounts.is_cover(mount, known) for mount in mounts.at(path, known)):
        return
    detached = mount_calls.clone(path)
    try:
        mount_calls.attach(detached, path, read_only=True)
    finally:
        os.close(detached)


def serve(path: str, name: str) -> int:
    """Mount our file system over the path: the descriptor on which its requests arrive, not blocking."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mount_calls.mount(name, path, KIND, f"fd={device},{_OPTIONS}")
    except BaseException:
        os.close(device)
        raise
    return device


def withdraw(path: str) -> None:
    """Take our file system from the path. Who still has something open there gets errors once it is aborted."""
    known = mounts.mounts()
    while (here := mounts.at(path, known)) and here[-1].kind == KIND:
        mount_calls.unmount(path, lazily=True)
        known = mounts.mounts()


def abort(device: int) -> None:
    """End a mount's connection: requests under way and all that follow fail. The descriptor is closed."""
    with contextlib.suppress(OSError):
        os.close(device)  # the last one of a connection aborts it


def is_busy(path: str) -> bool:
    """Has anybody something open in our file system at this path? It is unmounted if nobody has."""
    try:
        mount_calls.unmount(path, lazily=False)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        raise
    return False


def uncover(path: str) -> None:
    """Remove our file system and our covers from a path, those of an earlier run too."""
    while True:
        known = mounts.mounts()
        here = mounts.at(path, known)
        if not here or not _is_leftover(here[-1], known):
            return
        mount_calls.unmount(path, lazily=True)


def _is_leftover(mount: mounts.Mount, known: list[mounts.Mount]) -> bool:
    return mount.kind == KIND or mounts.is_cover(mount, known)
