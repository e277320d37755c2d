"""The changes that `farmctl setup` makes on a machine; each knows whether it is made and how it is undone."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from farmd.setup import files
from farmd.setup.systemd import run

ACCOUNT = "farmd"
"""The user that farm-health runs as, and the group whose members may use farmctl."""

CONFIGURATION = Path("/etc/farmd")


class Step(Protocol):
    """One change; `str()` names what it is about."""

    def is_done(self) -> bool:
        """Whether it is as it shall be."""

    def is_there(self) -> bool:
        """Whether there is something to undo."""

    def do(self) -> None:
        """Make it so."""

    def undo(self) -> None:
        """Take it away."""


@dataclass(frozen=True, slots=True)
class Account:
    """A system user, and a group of the same name, that owns nothing and cannot log in."""

    name: str = ACCOUNT

    def __str__(self) -> str:
        return f"user and group {self.name}"

    def is_done(self) -> bool:
        return self._exists(pwd.getpwnam) and self._exists(grp.getgrnam)

    def is_there(self) -> bool:
        return self._exists(pwd.getpwnam) or self._exists(grp.getgrnam)

    def do(self) -> None:
        if not self._exists(grp.getgrnam):
            run("groupadd", "--system", self.name)
        if not self._exists(pwd.getpwnam):
            nowhere = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
            run("useradd", "--system", "--gid", self.name, *nowhere, self.name)

    def undo(self) -> None:
        if self._exists(pwd.getpwnam):
            run("userdel", self.name)
        if self._exists(grp.getgrnam):  # userdel took it along, unless it has other members
            run("groupdel", self.name)

    def _exists(self, look: Callable[[str], object]) -> bool:
        try:
            look(self.name)
        except KeyError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of configurations and keys: root's, and readable by the group."""

    path: Path = CONFIGURATION
    group: str = ACCOUNT

    def __str__(self) -> str:
        return f"folder {self.path}"

    def is_done(self) -> bool:
        if not self.path.is_dir():
            return False
        found = self.path.stat()
        return (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o750, 0, self._gid())

    def is_there(self) -> bool:
        return self.path.is_dir()

    def do(self) -> None:
        self.path.mkdir(mode=0o750, exist_ok=True)
        os.chown(self.path, 0, self._gid())
        self.path.chmod(0o750)

    def undo(self) -> None:
        """What is in it is the administrator's; it stays, and root's alone."""
        os.chown(self.path, 0, 0)
        if not self.is_in_use():
            self.path.rmdir()

    def is_in_use(self) -> bool:
        """Whether something is in it, as far as we may look."""
        return not os.access(self.path, os.R_OK) or any(self.path.iterdir())

    def _gid(self) -> int:
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            return -1  # as long as there is no such group


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A file of ours among systemd's."""

    path: Path
    text: str

    def __str__(self) -> str:
        return f"file {self.path}"

    def is_done(self) -> bool:
        return self.is_there() and self.path.read_text() == self.text

    def is_there(self) -> bool:
        return self.path.is_file()

    def do(self) -> None:
        self.path.parent.mkdir(mode=0o755, exist_ok=True)
        files.write(self.path, self.text, mode=0o644, replace=True)

    def undo(self) -> None:
        self.path.unlink()
        if self.path.suffix == ".conf" and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()


@dataclass(frozen=True, slots=True)
class Command:
    """A name by which a shell finds one of our commands, which are in a virtual environment."""

    path: Path
    target: Path

    def __str__(self) -> str:
        return f"command {self.path}"

    def is_done(self) -> bool:
        """Also where the name is a program's own: then there is no need, or no right, to make it a link of ours."""
        return self.path.exists() and (not self.path.is_symlink() or self.path.samefile(self.target))

    def is_there(self) -> bool:
        return self.path.is_symlink() and self.path.resolve() == self.target.resolve()

    def do(self) -> None:
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(self.target)

    def undo(self) -> None:
        self.path.unlink()
