"""What a node that served apart loses to its peer's data is kept, until someone has looked.

Both nodes served without each other, one of them won, and the other one is made like it. Before a file of the loser is
overwritten or removed it goes into a folder named after the time, beside the journal:

    diverged/2026-11-21T14-03-59/0/path/of/the/file      0: the first directory of the configuration

A thing that is removed is renamed into it where both are on one file system, else copied. A file that is overwritten
is copied, which costs nothing where the file system can share blocks (XFS, Btrfs: FICLONE). Nothing is overwritten
whose copy is not complete: when the file system of the folder has no room for it, the resync ends with a sentence, the
data stays as it is, and the next attempt goes on from there. `RESERVE_BYTES` stay free in any case, since the journal
lives beside. The folder is the sign that someone has to look: status shows it as long as it exists, and removing or
renaming it ends that.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

from mirrord.volume.resync.listing import read_xattrs
from mirrord.volume.resync.staging import remove

FOLDER = "diverged"
RESERVE_BYTES = 64 << 20
_FICLONE = 0x4004_9409
_PIECE_BYTES = 16 << 20


class KeepingError(ValueError):
    """What differs cannot be kept; one plain sentence."""


class Keeper:
    """One resync's folder; it is made with the first thing that is kept."""

    def __init__(self, state: Path, tree: int, folder: Path | None = None) -> None:
        """state: the volume's own folder; tree: which directory; folder: the one that another tree's keeper has."""
        self.folder = folder or state / FOLDER / time.strftime("%Y-%m-%dT%H-%M-%S")
        self.files = 0
        self.nodes: set[int] = set()
        """Whose content is kept already, as far as the callers say."""
        self._root = self.folder / str(tree)
        self._ended = False

    def end(self) -> None:
        """What is being copied by another thread is given up, soon."""
        self._ended = True

    def copy(self, folder_fd: int, name: bytes, path: bytes) -> None:
        """A thing is about to be overwritten. Raises KeepingError."""
        target = self._target(path)
        self._copy(_path_of(folder_fd, name), target)
        self._count(target)

    def copy_open(self, fd: int, path: bytes) -> None:
        """The open file is about to be overwritten. Raises KeepingError."""
        target = self._target(path)
        self._copy(b"/proc/self/fd/%d" % fd, target, follow=True)
        self._count(target)

    def leave(self, folder_fd: int, name: bytes, path: bytes) -> None:
        """A thing goes, with all that is in it. Raises KeepingError."""
        target = self._target(path)
        try:
            os.rename(name, target, src_dir_fd=folder_fd)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise _no_room(error) from error
            self._copy(_path_of(folder_fd, name), target)
        else:
            self._separate_or_return(target, folder_fd, name)
        self._count(target)
        with suppress(FileNotFoundError):
            remove(folder_fd, name)

    def _target(self, path: bytes) -> bytes:
        """Where it goes: a path of its own, also where several things were at one path one after the other."""
        for number in itertools.count(1):
            root = os.fsencode(self._root) + (b"~%d" % number if number > 1 else b"")
            target = os.path.join(root, path)
            if _goes_through_a_link(root, path):
                continue
            try:
                os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                continue  # a file was kept where this one needs a folder
            except OSError as error:
                raise _no_room(error) from error
            if not os.path.lexists(target):
                return target
        raise AssertionError

    def _count(self, target: bytes) -> None:
        if os.path.isdir(target) and not os.path.islink(target):
            self.files += sum(len(files) for _, _, files in os.walk(target))
        else:
            self.files += 1

    def _copy(self, source: bytes, target: bytes, *, follow: bool = False) -> None:
        beside = target + b".incomplete"
        try:
            if stat.S_ISDIR(os.stat(source, follow_symlinks=follow).st_mode):
                shutil.copytree(os.fsdecode(source), os.fsdecode(beside), symlinks=True, copy_function=self._copy_thing)
            else:
                self._copy_thing(source, beside, follow=follow)
            os.rename(beside, target)
        except (OSError, shutil.Error) as error:
            with suppress(OSError):
                parent = os.open(os.path.dirname(beside), os.O_RDONLY | os.O_DIRECTORY)
                try:
                    remove(parent, os.path.basename(beside))
                finally:
                    os.close(parent)
            raise _no_room(error) from error

    def _separate_or_return(self, target: bytes, folder_fd: int, name: bytes) -> None:
        try:
            self._separate(target)
        except OSError as error:
            with suppress(OSError):
                os.rename(target, name, dst_dir_fd=folder_fd)
            raise _no_room(error) from error

    def _separate(self, target: bytes) -> None:
        """What was kept is a file of its own: another name of it may have stayed in the tree, and be written to."""
        for path in [target, *(os.path.join(above, name) for above, _, names in os.walk(target) for name in names)]:
            status = os.lstat(path)
            if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
                self._copy_thing(path, path + b".incomplete")
                os.rename(path + b".incomplete", path)

    def _copy_thing(self, source: bytes | str, target: bytes | str, *, follow: bool = False) -> None:
        source, target = os.fsencode(source), os.fsencode(target)
        status = os.stat(source, follow_symlinks=follow)
        if stat.S_ISREG(status.st_mode):
            self._copy_content(source, target, status)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source), target)
        else:
            os.mknod(target, status.st_mode, status.st_rdev)
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(target, stat.S_IMODE(status.st_mode))
        for name, value in read_xattrs(source, follow=follow):
            with suppress(OSError):
                os.setxattr(target, name, value, follow_symlinks=False)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)

    def _copy_content(self, source: bytes, target: bytes, status: os.stat_result) -> None:
        """Shared where that can be, else copied without its holes; on the disk when this returns."""
        with open(source, "rb") as reader, open(target, "wb") as writer:
            try:
                fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
            except OSError:
                _require_room(writer.fileno(), status.st_blocks * 512)
                self._copy_extents(reader.fileno(), writer.fileno(), status.st_size)
            os.fsync(writer.fileno())

    def _copy_extents(self, reader: int, writer: int, size: int) -> None:
        os.ftruncate(writer, size)
        at = 0
        while at < size:
            try:
                at = os.lseek(reader, at, os.SEEK_DATA)
            except OSError:
                return  # nothing but a hole follows
            end = os.lseek(reader, at, os.SEEK_HOLE)
            os.lseek(writer, at, os.SEEK_SET)
            while at < end:  # not copy_file_range(2), which fails between file systems of two types
                copied = os.sendfile(writer, reader, at, min(end - at, _PIECE_BYTES))
                if copied == 0:
                    return
                at += copied
                os.fdatasync(writer)  # so that there is never long to wait for
                if self._ended:
                    raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))


def unseen(state: Path) -> list[Path]:
    """The folders that nobody has cleared yet, oldest first."""
    try:
        return sorted(path for path in (state / FOLDER).iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def _goes_through_a_link(root: bytes, path: bytes) -> bool:
    """Whether a symbolic link was kept where this path needs a folder: nothing may be written to where it leads."""
    above = os.path.dirname(path)
    while above:
        if os.path.islink(os.path.join(root, above)):
            return True
        above = os.path.dirname(above)
    return False


def _path_of(folder_fd: int, name: bytes) -> bytes:
    return b"/proc/self/fd/%d/%s" % (folder_fd, name)


def _require_room(fd: int, size: int) -> None:
    free = os.fstatvfs(fd)
    if free.f_bavail * free.f_frsize < size + RESERVE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _no_room(error: Exception) -> KeepingError:
    reason = getattr(error, "strerror", None) or "some of it cannot be copied"
    return KeepingError(f"this node's diverged files cannot be kept before they are overwritten: {reason}")
