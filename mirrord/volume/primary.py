"""The volume while it serves, or is about to: its mounts, and the link by which it leads the peer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from farmd.errors import MachineError
from mirrord.orders import Lead, LocalFault, Report, Unlinked
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.fuse.capture import Capture
from mirrord.volume.fuse.intake import Intake
from mirrord.volume.journal.journal import Journal
from mirrord.volume.link.channel import Channel
from mirrord.volume.link.peering import Peering
from mirrord.volume.link.stream import Stream
from mirrord.volume.loop import Loop
from mirrord.volume.mounting import fuse_mount
from mirrord.volume.mounting.place import Place
from mirrord.volume.replication.leading import Ground, Leading
from mirrord.volume.replication.mode import Mode
from mirrord.volume.replication.replicator import Replicator
from mirrord.volume.replication.syncing import Syncing

log = logging.getLogger(__name__)

Steps = Generator[None, None, None]
Tell = Callable[[Report], None]


class Primary:
    """From Serve to Withdraw. What takes time is a generator: it yields as long as it has to wait."""

    def __init__(
        self, places: Sequence[Place], journal: Journal, loop: Loop, threads: ThreadPoolExecutor, peering: Peering,
        tell: Tell, *, on_disk: bool, rate_bytes_s: int,
    ) -> None:  # fmt: skip
        self.syncing = Syncing(loop, threads, self._fault)
        self.replicator = Replicator(journal, self.syncing, self._fault, on_disk=on_disk)
        self.link: Leading | None = None
        self._sent_bytes = 0
        """By links that are over."""
        self._places = places
        self._loop = loop
        self._threads = threads
        self._peering = peering
        self._tell = tell
        self._intake = Intake(loop, self.replicator, self._unmounted)
        self._captures: list[Capture] = []
        self._withdrawing = False
        self._withdrawn = False
        """The daemon takes its stream for ended, and may have begun another one."""
        self._rate_bytes_s = rate_bytes_s
        self._ground = Ground(
            self._captures, self.replicator, self.syncing, journal, loop, threads, tell, self._fault, self._room,
            self.settle_times,
        )  # fmt: skip

    @property
    def stream(self) -> Stream | None:
        return self.link.stream if self.link is not None else None

    # -- mounts --------------------------------------------------------------------------------------------------------

    def serve(self, mirror: str) -> Steps:
        """Mount over every directory."""
        for place in self._places:
            mounting = self._threads.submit(place.serve, mirror)
            while not mounting.done():
                yield
            tree = ServedTree(place.number, place.root(), trees=len(self._places))
            capture = Capture(tree, self.replicator, mounting.result())
            self._captures.append(capture)
            self._intake.open(capture, capture.device)

    def withdraw(self) -> Steps:
        """Unmount, when everything is answered and the peer has it. MachineError if that cannot be."""
        if self.replicator.mode is not Mode.PAIRED:
            self.end_link()  # it is not relied on
        self._end_verification()
        yield from self._become_idle()
        self._withdrawing = True
        for place in self._places:
            unmounting = self._threads.submit(place.withdraw)
            while not unmounting.done():
                yield
            unmounting.result()
        self.replicator.suspend(suspended=True)  # who still has something open
        self.settle_times()
        yield from self._become_idle()
        self._close_captures()
        self._withdrawn = True

    def withdraw_now(self) -> None:
        """Refuse what is under way, and unmount."""
        self.replicator.fence()
        self.end_link()
        for place in self._places:
            place.detach()
        self._close_captures()

    def hold(self) -> Steps:
        """Nothing changes any more, and the peer has everything; until `lead` or `withdraw`."""
        self._end_verification()
        self.replicator.suspend(suspended=True)
        yield from self._become_idle()
        if self.link is None:
            raise MachineError("there is no peer that could have everything")
        done: list[bool] = []
        self.link.checkpoint(lambda: done.append(True))
        while not done:
            if self.link is None:
                raise MachineError("the link has ended")
            yield
        yield from self._become_idle()

    def figures(self) -> dict[str, Any]:
        """Of the time since they were asked for last."""
        stream = self.stream
        return {
            **self.replicator.figures.take(),
            "held": self.replicator.held if self.replicator.mode is Mode.HELD else 0,
            "in_flight": self.replicator.held,
            "lag_bytes": stream.unsent_bytes if stream else 0,
            "sent_bytes": self._sent_bytes + (stream.sent_bytes if stream else 0),
        }

    def settle_times(self) -> None:
        """The peer is told of all times that have changed."""
        if self.replicator.peer is not None:
            for capture in self._captures:
                capture.settle()
            self.replicator.settle()
        else:
            for capture in self._captures:
                capture.tree.unsettled.clear()  # a resync compares them

    def _become_idle(self) -> Steps:
        self.settle_times()
        while not self.replicator.idle:
            if self.replicator.mode is Mode.HELD:
                raise MachineError("changes are held: the peer is lost, and nothing is decided")
            yield

    def _close_captures(self) -> None:
        for capture in self._captures:
            self._intake.close(capture.device)
            fuse_mount.abort(capture.device)
            capture.tree.close()
        self._captures.clear()
        self._withdrawing = False

    def _unmounted(self, capture: Capture) -> None:
        if not self._withdrawing:
            self._fault(f"{self._places[capture.tree.number].path} was unmounted by somebody else")

    # -- the link ------------------------------------------------------------------------------------------------------

    def lead(self, order: Lead) -> None:
        """Dial until linked; what follows is told."""
        self.end_link()
        self.replicator.suspend(suspended=False)
        number, node = order.generation
        self._peering.dial((number, node), lambda channel: self._adopt(channel, order))

    def end_link(self) -> None:
        """Nothing is sent any more, nor any acknowledgement heeded."""
        self._peering.close()
        if self.link is not None:
            self._forget_link(self.link)

    def verify(self) -> None:
        """Compare both; what is found is told. MachineError if the peer is not in sync."""
        if self.link is None:
            raise MachineError("there is no peer to compare with")
        self.link.verify([place.path for place in self._places])

    def _end_verification(self) -> None:
        if self.link is not None:
            self.link.end_verification("this node is about to serve no more")

    def limit(self, bytes_s: int) -> None:
        """The most that a resync sends from now on; 0: no limit."""
        self._rate_bytes_s = bytes_s
        if self.link is not None and self.link.resync is not None:
            self.link.resync.rate_bytes_s = bytes_s

    def _adopt(self, channel: Channel, order: Lead) -> None:
        self._peering.close()
        self.link = Leading(self._ground, channel, order, self._rate_bytes_s, self._lost)

    def _lost(self, reason: str, peer_disk: bool) -> None:
        log.warning("the link is over: %s", reason)
        if self.link is not None:
            self._forget_link(self.link)
        if not self._withdrawn:
            self._tell(Unlinked(reason, peer_disk))

    def _forget_link(self, link: Leading) -> None:
        self.link = None
        link.close()
        self._sent_bytes += link.stream.sent_bytes
        self.replicator.unlink()
        self.replicator.regulate()

    def _room(self) -> None:
        self.replicator.settle()
        self.replicator.regulate()

    def _fault(self, sentence: str) -> None:
        log.error("%s", sentence)
        self._tell(LocalFault(sentence))
