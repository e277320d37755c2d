"""A control group of its own for each machine of the lab, as far as this host lets us make any (cgroups(7), version 2).

Machines share the kernel's tree of groups; each sees its own part of it as the whole, so that farmd's services on one
are not found on another.
"""

import contextlib
import os
import re
from pathlib import Path

from lab.waiting import until


def folder(lab: str, place: str) -> Path | None:
    """Where a machine's group is, or would be; None if there are no groups here, or none to be changed."""
    top = _top()
    return top / f"farm-lab.{lab}.{place}" if top is not None and os.access(top, os.W_OK) else None


def remove(lab: str, place: str) -> None:
    """Removes a machine's group once the last process in it is buried; `*` is any place."""
    top = _top()
    for group in top.glob(f"farm-lab.{lab}.{place}") if top is not None else ():
        until(lambda group=group: _removed(group), f"the processes in {group} to be buried", timeout_s=10)  # type: ignore[misc]


def left(lab: str) -> list[Path]:
    """The groups that a lab has."""
    top = _top()
    return sorted(top.glob(f"farm-lab.{lab}.*")) if top is not None else []


def _removed(group: Path) -> bool:
    for path, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(path).rmdir()
    return not group.exists()


def _top() -> Path | None:
    """Where the tree is mounted (proc(5), mountinfo)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mount.split()[4]))
        if source.startswith("cgroup2 ") and (point / "cgroup.procs").exists():
            return point
    return None
