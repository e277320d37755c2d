"""What an answer to an application waits for."""

from __future__ import annotations

from enum import Enum, auto


class Mode(Enum):
    """Of a primary."""

    ALONE = auto()
    """This node only. If there is a link, changes are sent: the peer is brought up to date."""
    PAIRED = auto()
    """The peer, too."""
    HELD = auto()
    """The peer is lost and nothing is decided: requests are put aside before they change anything, and changes that
    were on their way are answered when PAIRED or ALONE begins."""
    FENCED = auto()
    """Nothing: everything is refused with EIO, and nothing is acknowledged any more."""
