"""Where a mirror keeps what must survive a power failure."""

from __future__ import annotations

import os
from pathlib import Path

STATE = Path(os.environ.get("MIRRORD_STATE", "/var/lib/mirrord"))
"""A folder in it for each mirror: MIRRORD_STATE, or /var/lib/mirrord."""


def state_folder(mirror: str) -> Path:
    """The one of this mirror; it need not exist yet."""
    return STATE / mirror
