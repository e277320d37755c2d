"""The mounts of this machine, as /proc/self/mountinfo lists them (proc_pid_mountinfo(5))."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount."""

    id: int
    parent: int
    device: str
    """major:minor of its file system"""
    root: str
    """what of the file system is mounted"""
    point: str
    """where"""
    options: frozenset[str]
    """of this mount, not of the file system: ro, nosuid, ..."""
    kind: str
    """the file system's type"""


def mounts(text: str | None = None) -> list[Mount]:
    """All of them, in the order of mounting; text: of the file, to read it from elsewhere."""
    if text is None:
        text = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    return [_mount(line.split(" ")) for line in text.splitlines()]


def _mount(fields: Sequence[str]) -> Mount:
    number, parent, device, root, point, options = fields[:6]
    kind = fields[fields.index("-", 6) + 1]
    return Mount(
        int(number), int(parent), device, _plain(root), _plain(point), frozenset(options.split(",")), kind
    )  # fmt: skip


def _plain(path: str) -> str:
    """Without the octal escapes of space, tab, newline and backslash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def at(path: str, all_mounts: Sequence[Mount]) -> list[Mount]:
    """The mounts at exactly this path, the one on top last."""
    here = [mount for mount in all_mounts if mount.point == path]
    return sorted(here, key=lambda mount: _depth(mount, here))


def below(path: str, all_mounts: Sequence[Mount]) -> list[Mount]:
    """The mounts inside the directory."""
    return [mount for mount in all_mounts if mount.point.startswith(path.rstrip("/") + "/")]


def is_cover(mount: Mount, all_mounts: Sequence[Mount]) -> bool:
    """Is it a read-only mount of a directory onto itself, as we cover directories?"""
    under = next((other for other in all_mounts if other.id == mount.parent), None)
    if under is None or "ro" not in mount.options or under.device != mount.device:
        return False
    inside = mount.point.removeprefix(under.point.rstrip("/"))
    return mount.root.rstrip("/") == under.root.rstrip("/") + inside


def _depth(mount: Mount, here: Sequence[Mount]) -> int:
    """How many of the mounts at the same place are under it."""
    under = next((other for other in here if other.id == mount.parent), None)
    return 0 if under is None else 1 + _depth(under, here)
