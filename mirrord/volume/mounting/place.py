"""Where a replicated directory is, and our mount over it."""

from __future__ import annotations

import os

from mirrord.volume.mounting import fuse_mount, mounts


class Place:
    """One directory of the mirror. Nothing is changed by looking at it.

    Mounting and unmounting are done by a thread: an unmount may have to wait for pages to be written back, and it is
    the loop that takes them.
    """

    def __init__(self, number: int, path: str) -> None:
        """MachineError or OSError if the directory cannot be mirrored."""
        self.number = number
        self.path = path
        self._root = fuse_mount.open_behind(path)

    def root(self) -> int:
        """A descriptor of the directory itself, the caller's to close."""
        return os.dup(self._root)

    def cover(self) -> None:
        fuse_mount.withdraw(self.path)  # an earlier run's
        fuse_mount.cover(self.path)

    def serve(self, mirror: str) -> int:
        """Our file system is there when this returns: the descriptor of its requests. The cover is under it."""
        self.cover()
        return fuse_mount.serve(self.path, f"mirrord-{mirror}")

    def withdraw(self) -> None:
        """It is gone from the path. Pages that were changed by mapping are written back first, if nobody uses it."""
        here = mounts.at(self.path, mounts.mounts())
        if here and here[-1].kind == fuse_mount.KIND and fuse_mount.is_busy(self.path):
            fuse_mount.withdraw(self.path)

    def detach(self) -> None:
        """It is gone from the path, at once."""
        fuse_mount.withdraw(self.path)

    def uncover(self) -> None:
        fuse_mount.uncover(self.path)

    def is_empty(self) -> bool:
        with os.scandir(self._root) as entries:
            return all(entry.name == "lost+found" for entry in entries)
