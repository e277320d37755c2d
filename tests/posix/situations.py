"""What a call may find at the path that it is given, and who gives it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.posix import calls

OWNER, STRANGER = 65534, 65533
USERS = (0, OWNER, STRANGER)
CONTENT = b"ten bytes\n"


@dataclass(frozen=True, slots=True)
class Situation:
    """A folder `d` with an object `x`, which are the owner's unless it is said, and the path that a call is given."""

    name: str
    make: Callable[[Path], None]
    """Of x."""
    path: str = "d/x"
    mode: int = 0o755
    """Of d."""
    owner: int = OWNER
    """Of d."""

    def build(self, folder: Path) -> None:
        """All of it, in a folder that is there and empty."""
        inner = folder / "d"
        os.mkdir(inner)
        os.chown(inner, self.owner, self.owner)
        os.chmod(inner, self.mode)
        self.make(inner / "x")


def nothing(path: Path) -> None:
    """No x."""


def file(path: Path, mode: int = 0o644, owner: int = OWNER, group: int = OWNER) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, CONTENT)
    os.fchown(descriptor, owner, group)
    os.fchmod(descriptor, mode)
    os.close(descriptor)


def folder(path: Path, mode: int = 0o755, owner: int = OWNER) -> None:
    os.mkdir(path)
    os.chown(path, owner, owner)
    os.chmod(path, mode)


def full_folder(path: Path) -> None:
    folder(path)
    file(path / "y")


def fifo(path: Path) -> None:
    os.mkfifo(path)
    os.chown(path, OWNER, OWNER)


def device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


def socket(path: Path) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o644)


def linked(path: Path) -> None:
    file(path)
    os.link(path, path.with_name("y"))


def symlink_to(target: str, kind: Callable[[Path], None] = nothing) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        os.symlink(target, path)
        os.chown(path, OWNER, OWNER, follow_symlinks=False)
        kind(path.parent / target)

    return make


def file_of(mode: int, owner: int = OWNER, group: int = OWNER) -> Callable[[Path], None]:
    return lambda path: file(path, mode, owner, group)


def folder_of(mode: int, owner: int = OWNER) -> Callable[[Path], None]:
    return lambda path: folder(path, mode, owner)


def inheriting(path: Path) -> None:
    """What comes into being here gets an ACL."""
    os.setxattr(path.parent, "system.posix_acl_default", calls.acl(7, 1001, 6, 5, 7, 0))


def attributed(path: Path) -> None:
    file(path)
    os.setxattr(path, "user.one", b"1")
    os.setxattr(path, "system.posix_acl_access", calls.acl(6, STRANGER, 6, 4, 6, 0))


ORDINARY = (
    Situation("missing", nothing),
    Situation("file", file),
    Situation("folder", folder),
    Situation("full folder", full_folder),
    Situation("fifo", fifo),
    Situation("device", device),
    Situation("socket", socket),
    Situation("linked", linked),
    Situation("symlink to file", symlink_to("t", file)),
    Situation("symlink to folder", symlink_to("t", folder)),
    Situation("symlink to nothing", symlink_to("t")),
    Situation("symlink to itself", symlink_to("x")),
)
WRITABLE_BY_ANYBODY = (
    Situation("setuid program that anybody may write", file_of(0o6777), mode=0o777),
    Situation("setgid without execution", file_of(0o2666), mode=0o777),
    Situation("setgid program of a foreign group", file_of(0o6777, OWNER, 1002), mode=0o777),
)
PERMISSIONS = (
    Situation("missing in anybody's folder", nothing, mode=0o777),
    Situation("missing in a group's folder", nothing, mode=0o2777, owner=1002),
    Situation("missing where ACLs are inherited", inheriting, mode=0o777),
    Situation("file in anybody's folder", file, mode=0o777),
    Situation("file in a sticky folder", file, mode=0o1777, owner=0),
    Situation("folder in a sticky folder", folder, mode=0o1777, owner=0),
    Situation("root's file in the owner's sticky folder", file_of(0o644, 0), mode=0o1777),
    Situation("file in root's folder", file, owner=0),
    Situation("file in a folder without search", file, mode=0o600),
    Situation("file in a folder without reading", file, mode=0o300),
    Situation("private file of root", file_of(0o600, 0), mode=0o777),
    Situation("read-only file", file_of(0o444), mode=0o777),
    Situation("file without permissions", file_of(0), mode=0o777),
    Situation("setuid program", file_of(0o6755), mode=0o777),
    *WRITABLE_BY_ANYBODY,
    Situation("setgid folder", folder_of(0o2777), mode=0o777),
    Situation("file with an ACL", attributed, mode=0o777),
)
PATHS = (
    Situation("longest name", nothing, "d/" + "n" * 255, mode=0o777),
    Situation("name too long", nothing, "d/" + "n" * 256, mode=0o777),
    Situation("name too long for FUSE", nothing, "d/" + "n" * 1025, mode=0o777),
    Situation("path too long", nothing, "d/" + "./" * 2100 + "x", mode=0o777),
    Situation("through a file", file, "d/x/y"),
    Situation("through nothing", nothing, "d/x/y"),
    Situation("through a symlink", symlink_to("t", folder), "d/x/y"),
    Situation("through a loop", symlink_to("x"), "d/x/y"),
    Situation("file with a slash", file, "d/x/"),
    Situation("folder with a slash", folder, "d/x/"),
    Situation("missing with a slash", nothing, "d/x/"),
    Situation("symlink to folder with a slash", symlink_to("t", folder), "d/x/"),
    Situation("symlink to nothing with a slash", symlink_to("t"), "d/x/"),
    Situation("dot", folder, "d/x/."),
    Situation("dot dot", folder, "d/x/.."),
    Situation("empty path", nothing, ""),
)
