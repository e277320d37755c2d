"""Making an object of the secondary, and giving it the attributes that an entry of the primary's listing has."""

from __future__ import annotations

import os
import stat

from mirrord.volume.resync.listing import Entry, differences, read_entry


def make_name_right(folder_fd: int, wanted: Entry, *, sized: bool) -> None:
    """Not `sized`: a file stays empty until the primary's journal knows that it is to be filled."""
    have = read_entry(folder_fd, wanted.name)
    wrong = differences(have, wanted)
    if not wrong:
        return
    path = b"/proc/self/fd/%d/%s" % (folder_fd, wanted.name)
    if "size" in wrong and sized:
        os.truncate(path, wanted.size)
    make_path_right(path, wanted, follow=False, times=not wanted.is_folder)


def make_path_right(path: bytes, wanted: Entry, *, follow: bool, times: bool) -> None:
    """In this order: a change of owner takes the set-id bits and capabilities, an ACL changes the mode."""
    status = os.stat(path, follow_symlinks=follow)
    if (status.st_uid, status.st_gid) != (wanted.uid, wanted.gid):
        os.chown(path, wanted.uid, wanted.gid, follow_symlinks=follow)
    _make_xattrs_right(path, wanted, follow=follow)
    if not stat.S_ISLNK(wanted.mode):
        os.chmod(path, stat.S_IMODE(wanted.mode))
    if times:
        os.utime(path, ns=(wanted.atime_ns, wanted.mtime_ns), follow_symlinks=follow)


def _make_xattrs_right(path: bytes, wanted: Entry, *, follow: bool) -> None:
    should = dict(wanted.xattrs)
    names = [os.fsencode(name) for name in os.listxattr(path, follow_symlinks=follow)]
    for name in names:
        if name not in should:
            os.removexattr(path, name, follow_symlinks=follow)
    for name, value in should.items():
        if name not in names or os.getxattr(path, name, follow_symlinks=follow) != value:
            os.setxattr(path, name, value, follow_symlinks=follow)


def make(fd: int, wanted: Entry) -> None:
    """A new, empty object; who may use it is said afterwards."""
    if wanted.is_folder:
        os.mkdir(wanted.name, 0o700, dir_fd=fd)
    elif stat.S_ISLNK(wanted.mode):
        os.symlink(wanted.target, wanted.name, dir_fd=fd)
    else:
        os.mknod(wanted.name, stat.S_IFMT(wanted.mode) | 0o600, wanted.rdev, dir_fd=fd)
