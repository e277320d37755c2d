"""The volume while it serves: its mounts, and the link by which it leads the peer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from farmd.errors import MachineError
from mirrord.orders import InSync, Lead, Linked, LocalFault, Report, Unlinked
from mirrord.volume.capture import Capture
from mirrord.volume.channel import Channel
from mirrord.volume.intake import Intake
from mirrord.volume.journal import Journal
from mirrord.volume.leader import Leader
from mirrord.volume.loop import Loop
from mirrord.volume.peering import Peering
from mirrord.volume.place import Place
from mirrord.volume.records import Kind, Record
from mirrord.volume.replicator import Mode, Replicator
from mirrord.volume.served_tree import ServedTree
from mirrord.volume.stream import Stream
from mirrord.volume.syncing import Syncing
from mirrord.volume.tree import ROOT

log = logging.getLogger(__name__)

SETTLE_INTERVAL_S = 0.25
"""How often the times of what has changed are told to the peer."""

Tell = Callable[[Report], None]


class Primary:
    """From Serve to Withdraw."""

    def __init__(
        self, places: Sequence[Place], journal: Journal, loop: Loop, peering: Peering, tell: Tell, *, on_disk: bool
    ) -> None:
        self.syncing = Syncing(loop, self._fault)
        self.replicator = Replicator(journal, self.syncing, self._fault, on_disk=on_disk)
        self._places = places
        self._journal = journal
        self._loop = loop
        self._peering = peering
        self._tell = tell
        self._intake = Intake(loop, self.replicator, self._unmounted)
        self._captures: list[Capture] = []
        self._stream: Stream | None = None
        self._leader: Leader | None = None
        self._pairing_seq: int | None = None
        """With this acknowledged, everything that was answered before is at the peer, too."""
        loop.every(SETTLE_INTERVAL_S, self.settle_times)

    # -- mounts --------------------------------------------------------------------------------------------------------
