"""Control groups (cgroups(7)): which processes belong to a service, whatever sessions and names they give themselves.

Version 2 only. A process does not leave its group by itself, the group says when its last process has ended, and one
write kills all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_ENTER = 'echo $$ > "$1" && shift && exec "$@"'
"""A shell's line that enters the group before it becomes the command, so that no child of it can be missed."""


class Cgroup:
    """One control group; it need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def populated(self) -> bool:
        """Whether a process lives in it, or below it."""
        try:
            return "populated 1" in (self.path / "cgroup.events").read_text()
        except OSError:
            return False

    def processes(self) -> list[int]:
        """The processes in it and below it."""
        found: list[int] = []
        for folder in self._folders():
            with contextlib.suppress(OSError):
                found += map(int, (folder / "cgroup.procs").read_text().split())
        return found

    def make(self) -> None:
        """Creates it. OSError if that is not allowed."""
        self.path.mkdir(parents=True, exist_ok=True)

    def enter(self) -> None:
        """Takes this very process into it."""
        (self.path / "cgroup.procs").write_text("0")

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line that runs a command in it."""
        return ["/bin/sh", "-c", _ENTER, "sh", str(self.path / "cgroup.procs"), *arguments]

    def kill(self) -> None:
        """Kills every process in it and below it."""
        try:
            (self.path / "cgroup.kill").write_text("1")
        except FileNotFoundError:  # it does not exist, or the kernel is older than 5.14
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        """Removes it and what is below it, as far as no process lives there."""
        for folder in self._folders():
            with contextlib.suppress(OSError):
                folder.rmdir()

    def remove_if_bare(self) -> None:
        """Removes it, if no other group is below it."""
        with contextlib.suppress(OSError):
            self.path.rmdir()

    def _folders(self) -> Iterator[Path]:
        """It and all below it, the innermost first."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            yield Path(folder)


class PopulationWatch:
    """Calls `wake` when a group gets its first process or loses its last one."""

    def __init__(self, group: Cgroup, wake: Callable[[], None]) -> None:
        self._group = group
        self._wake = wake
        self._events = -1
        self._epoll: select.epoll | None = None

    def on(self) -> None:
        """Watch from here on, if the group exists. Due at every look: a group that was removed and made anew is
        another one, and its removal wakes nobody.
        """
        if self._epoll is not None and self._read():
            return
        self.off()
        try:
            self._events = os.open(self._group.path / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        # The file is always readable; that it has changed is EPOLLPRI, which asyncio does not wait for.
        self._epoll = select.epoll()
        self._epoll.register(self._events, select.EPOLLPRI)
        asyncio.get_running_loop().add_reader(self._epoll, self._changed)

    def off(self) -> None:
        """Watch no more."""
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll)
            self._epoll.close()
            os.close(self._events)
        self._epoll = None

    def _changed(self) -> None:
        if not self._read():
            self.off()
        self._wake()

    def _read(self) -> bool:
        """Whether the group is still there. What was not read does not change again."""
        try:
            os.pread(self._events, 4096, 0)
        except OSError:  # ENODEV: it was removed
            return False
        return True


def own() -> Cgroup | None:
    """This process' own group, or the topmost one that it can see; None if it may write to none."""
    for point, root in _mounts():
        path = _own(point, root)
        if os.access(path, os.W_OK):
            return Cgroup(path)
    return None


def elsewhere(name: str) -> Cgroup | None:
    """A group of this name that is populated, wherever it is."""
    for point, _ in _mounts():
        for folder, children, _ in os.walk(point):
            group = Cgroup(Path(folder) / name)
            if name in children and group.populated:
                return group
    return None


def _mounts() -> Iterator[tuple[Path, str]]:
    """Where control groups version 2 are mounted, and which group is the topmost there (proc(5), mountinfo)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        root, point = map(_unescaped, fields.split()[3:5])
        if source.startswith("cgroup2 ") and (Path(point) / "cgroup.procs").exists():  # else another mount covers it
            yield Path(point), root


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)


def _own(point: Path, root: str) -> Path:
    """The folder of this process' own group; the topmost there is, if its own is not below that."""
    line = next((line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), "0::/")
    path = line.removeprefix("0::")
    within = root == "/" or path == root or path.startswith(root + "/")
    own = point / path.removeprefix(root).lstrip("/") if within else point
    return own if ".." not in own.parts and own.is_dir() else point
