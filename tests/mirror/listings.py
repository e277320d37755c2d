"""All that two directories must have in common, as a value: to be compared, and read where it differs."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any


def listing(directory: Path) -> dict[str, Any]:
    """Every name with what it is; hard links by the first name of their inode. Not atime, ctime and birth time."""
    found: dict[str, Any] = {}
    first_names: dict[int, str] = {}
    for folder, folders, files in os.walk(directory):
        folders.sort()
        for name in ("", *sorted(folders + files)) if folder == str(directory) else sorted(folders + files):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, directory)
            status = os.lstat(path)
            first = first_names.setdefault(status.st_ino, relative)
            found[relative] = first if first != relative else _described(path, status)
    return found


def _described(path: str, status: os.stat_result) -> list[Any]:
    content: Any = ""
    if stat.S_ISREG(status.st_mode):
        content = [status.st_size, hashlib.sha256(Path(path).read_bytes()).hexdigest()]
    elif stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        content = status.st_rdev
    links = status.st_nlink if not stat.S_ISDIR(status.st_mode) else 0
    names = sorted(os.listxattr(path, follow_symlinks=False))
    xattrs = {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}
    return [oct(status.st_mode), status.st_uid, status.st_gid, links, status.st_mtime_ns, content, xattrs]
