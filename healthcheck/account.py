"""The user that the health page runs as: it speaks to strangers, so it is to have nothing that it could lose."""

from __future__ import annotations

import grp
import os
import pwd

from farmd.errors import MachineError

ACCOUNT = "farmd"
"""The user, and the group that control sockets are open to."""


def drop_root() -> None:
    """Become the user farmd, for good, if this is root. MachineError if there is no such user."""
    if os.geteuid() != 0:
        return
    try:
        user, group = pwd.getpwnam(ACCOUNT), grp.getgrnam(ACCOUNT)
    except KeyError:
        raise MachineError(
            f"there is no user and group {ACCOUNT} to run as instead of root; `farmctl setup` creates both"
        ) from None
    os.setgroups([group.gr_gid])
    os.setgid(group.gr_gid)
    os.setuid(user.pw_uid)
