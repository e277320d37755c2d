"""The volume while it follows: the link by which it is led."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mirrord.orders import Follow, InSync, Linked, Report, Unlinked
from mirrord.volume.files.followed_tree import FollowedTree
from mirrord.volume.journal.journal import Journal
from mirrord.volume.link.channel import Channel
from mirrord.volume.link.peering import Peering
from mirrord.volume.link.records import Kind, Record
from mirrord.volume.link.stream import Stream
from mirrord.volume.loop import Loop
from mirrord.volume.mounting.place import Place
from mirrord.volume.replication.follower import Follower
from mirrord.volume.resync.follow import ResyncFollower
from mirrord.volume.verify.follow import Onlooker

log = logging.getLogger(__name__)

DROP_INTERVAL_S = 0.01


class Secondary:
    """At most one link at a time."""

    def __init__(
        self,
        places: Sequence[Place],
        journal: Journal,
        folder: Path,
        loop: Loop,
        threads: ThreadPoolExecutor,
        peering: Peering,
        tell: Callable[[Report], None],
        *,
        on_disk: bool,
    ) -> None:
        self.applied = 0
        """The number of the newest record carried out by a link that is over."""
        self._places = places
        self._journal = journal
        self._folder = folder
        self._loop = loop
        self._threads = threads
        self._peering = peering
        self._tell = tell
        self._on_disk = on_disk
        self._link: _Link | None = None

    @property
    def linked(self) -> bool:
        return self._link is not None

    @property
    def stream(self) -> Stream | None:
        return self._link.stream if self._link is not None else None

    def follow(self, order: Follow) -> None:
        """Accept one link; what follows is told. OSError if nobody can link here."""
        self.end_link()
        number, node = order.generation
        self._peering.listen((number, node), self._adopt)

    def end_link(self) -> None:
        """Nothing of the peer is carried out any more."""
        self._peering.close()
        if self._link is not None:
            self._link.stream.close()
            self._forget_link()

    def _adopt(self, channel: Channel) -> None:
        self._peering.close()
        self._link = _Link(self, channel)
        self._tell(Linked())

    def _lost(self, reason: str) -> None:
        log.warning("the link is over: %s", reason)
        self._forget_link()
        self._tell(Unlinked(reason))

    def _forget_link(self) -> None:
        assert self._link is not None
        self.applied = self._link.follower.applied
        self._link.close()
        self._link = None


class _Link:
    """What belongs to one link."""

    def __init__(self, owner: Secondary, channel: Channel) -> None:
        count = len(owner._places)
        self.trees = [FollowedTree(place.number, place.root(), trees=count) for place in owner._places]
        self.follower = Follower(self.trees, owner._loop, owner._threads, on_disk=owner._on_disk)
        self.stream = Stream(
            channel, owner._loop, take=self.follower.take, taken=self.follower.taken, room=lambda: None,
            broken=owner._lost,
        )  # fmt: skip
        self.follower.stream = self.stream
        self._resync = ResyncFollower(
            self.trees, owner._journal, owner._folder, owner._threads, self.follower.answer, owner._loop.post,
            self._could_not, lambda waits: self.stream.pause(paused=waits),
        )  # fmt: skip
        self.follower.handlers.update(self._resync.handlers())
        self.follower.handlers[Kind.LOOK] = Onlooker(self.trees, self.follower.answer).look
        self.follower.preparations.update(self._resync.preparations())
        self.follower.handlers[Kind.IN_SYNC] = self._in_sync
        self._tell = owner._tell
        self._loop = owner._loop

    def _in_sync(self, _: Record) -> None:
        self.follower.preparations.clear()
        self._drop_listed()
        self._tell(InSync())

    def _drop_listed(self) -> None:
        """Bit by bit, since there may be a million, and live changes go on."""
        if any(tree.drop_listed() for tree in self.trees):
            self._loop.after(DROP_INTERVAL_S, self._drop_listed)

    def _could_not(self, why: str) -> None:
        """A thread: the primary is told, and ends the link."""
        self.follower.answer(Record(Kind.FAILED, 0, 0, payload=why.encode(), seq=self.follower.applied))
        self.stream.part(f"this node could not carry out a change: {why}")

    def close(self) -> None:
        self._resync.close()
        for tree in self.trees:
            tree.close()
