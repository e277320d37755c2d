"""Who makes a request, as far as the kernel leaves it to the file system to ask."""

from __future__ import annotations

from mirrord.volume.fuse.abi import IN

_GROUPS = b"Groups:"
"""The line of a process' status that names its supplementary groups (proc_pid_status(5))."""


def may_set_group_id(message: memoryview, group: int) -> bool:
    """Whether the process that a request is from may have S_ISGID on what is a group's: it is root's, or belongs to
    the group; not if it has ended or cannot be seen."""
    _, _, _, _, user, own, pid, _, _ = IN.unpack_from(message)
    return user == 0 or own == group or group in _groups(pid)


def _groups(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/status", "rb") as status:
            return next(list(map(int, line.split()[1:])) for line in status if line.startswith(_GROUPS))
    except OSError:
        return []
