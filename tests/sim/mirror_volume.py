"""A simulated volume and its stream. The order of the real one: sent, applied at both ends, then acknowledged.

Its writes are numbers. What is acknowledged to the application must never be lost, and is what the invariants look at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from farmd.core.settings import MS
from mirrord.core.generations import Generation
from mirrord.orders import (
    Alive,
    Cover,
    Cut,
    Done,
    Follow,
    GoAlone,
    Hold,
    InSync,
    Lead,
    Linked,
    LocalFault,
    Order,
    Report,
    Serve,
    Unlinked,
    Verified,
    Verify,
    Withdraw,
)

if TYPE_CHECKING:
    from tests.sim.mirror import Mirror
    from tests.sim.mirror_node import Node

DIAL_MS = 40
STALL_NS_MAX = 700 * MS
"""How long an end of a stream waits for the other's word before it takes it for broken."""


class Link:
    """A connection over one network: in order, and without loss as long as it lives."""

    def __init__(self, mirror: Mirror, network: int, leader: Volume, follower: Volume) -> None:
        self.mirror, self.network = mirror, network
        self.leader, self.follower = leader, follower
        self.paired = False
        """A write counts only when the follower has it, too."""
        self.resynced = 0
        """The last number of the stream that the resync has brought over."""
        self.broken = False
        self._queues: dict[bool, deque[Callable[[], None]]] = {True: deque(), False: deque()}
        self._stalled_ns: dict[bool, int | None] = {True: None, False: None}

    def send(self, do: Callable[[], None], *, to_follower: bool) -> None:
        queue = self._queues[to_follower]
        queue.append(do)
        if len(queue) == 1:
            self.mirror.at(self.mirror.now + self.mirror.delay_ns(), lambda: self._pump(to_follower))

    def _pump(self, to_follower: bool) -> None:
        sender, receiver = (self.leader, self.follower) if to_follower else (self.follower, self.leader)
        queue = self._queues[to_follower]
        if self.broken or not queue:
            return
        if receiver.node.volume_frozen_until > self.mirror.now:
            self.mirror.at(receiver.node.volume_frozen_until, lambda: self._pump(to_follower))
            return
        if (sender.node.id, receiver.node.id, self.network) in self.mirror.broken:
            self._stall(to_follower)
            return
        self._stalled_ns[to_follower] = None
        queue.popleft()()
        if queue and not self.broken:
            self.mirror.at(self.mirror.now + MS // 10, lambda: self._pump(to_follower))

    def _stall(self, to_follower: bool) -> None:
        since = self._stalled_ns[to_follower]
        self._stalled_ns[to_follower] = since = self.mirror.now if since is None else since
        if self.mirror.now - since > STALL_NS_MAX:
            self.end("no answer", self.leader, self.follower)
        else:
            self.mirror.at(self.mirror.now + 50 * MS, lambda: self._pump(to_follower))

    def leave_arrived(self, receiver: Volume) -> None:
        """The other end is no more: what it had sent to one that stands still is read when that wakes up."""
        to_follower = receiver is self.follower
        sender = self.leader if to_follower else self.follower
        arrives = (sender.node.id, receiver.node.id, self.network) not in self.mirror.broken
        if arrives and receiver.node.volume_frozen_until > self.mirror.now:
            for take in self._queues[to_follower]:
                receiver.later(0, take)

    def end(self, reason: str, *told: Volume) -> None:
        """These ends notice, each in its own time; nothing passes from now on."""
        if not self.broken:
            self.broken = True
            for volume in told:
                volume.later(self.mirror.delay_ns(), lambda volume=volume: volume.unlinked(self, reason))  # type: ignore[misc]


class Volume:
    """One run of it on one node."""

    def __init__(self, mirror: Mirror, node: Node) -> None:
        self.mirror, self.node = mirror, node
        self.gone = self.hung = self.covered = False
        self.mounted = self.alone = self.holding = False
        self.stream: Lead | Follow | None = None
        self.link: Link | None = None
        self.number = 0
        self.waiting: dict[int, int] = {}
        """Writes that are not acknowledged yet, and their numbers in the stream."""
        self.orders: deque[Order] = deque()
        self._stream_count = 0
        self._sign_of_life()

    # -- time ----------------------------------------------------------------------------------------------------------

    def later(self, delay_ns: int, do: Callable[[], None]) -> None:
        """Unless it has ended; once it is thawed."""
        self.mirror.at(self.mirror.now + delay_ns, lambda: self._when_awake(do))

    def _when_awake(self, do: Callable[[], None]) -> None:
        if self.gone:
            return
        if self.node.volume_frozen_until > self.mirror.now:
            self.mirror.at(self.node.volume_frozen_until, lambda: self._when_awake(do))
        else:
            do()

    def say(self, report: Report) -> None:
        self.mirror.report(self.node, self, report)

    def _sign_of_life(self) -> None:
        if not self.hung:
            self.say(Alive())
        self.later(1000 * MS, self._sign_of_life)

    # -- orders --------------------------------------------------------------------------------------------------------

    def take(self, order: Order) -> None:
        self.orders.append(order)
        if len(self.orders) == 1:
            self._begin()

    def _begin(self) -> None:
        self.later(self.mirror.work_ns(), self._carry_out)

    def _carry_out(self) -> None:
        order = self.orders[0]
        if self.hung:
            return
        if isinstance(order, Hold) and self._hold():
            self.later(2 * MS, self._carry_out)
            return
        failure = "the stream is gone" if isinstance(order, Hold) and not self.holding else ""
        self._do(order)
        self.orders.popleft()
        if self.orders:
            self._begin()
        self.say(Done(self.number, failure))
        if isinstance(order, Verify):
            self.say(Verified([], 0))

    def _hold(self) -> bool:
        """Whether to wait: what is under way has yet to be acknowledged."""
        paired = self.link is not None and self.link.paired and not self.link.broken
        self.holding = paired
        return paired and bool(self.waiting)

    def _do(self, order: Order) -> None:
        match order:
            case Cover():
                self.covered = True
            case Serve():
                self.mounted, self.covered = True, False
                self.mirror.serves(self.node)
            case Withdraw():
                self.mounted = self.alone = self.holding = False
                self.waiting.clear()
                self.covered = True
            case Lead():
                self._end_stream()
                self.stream, self.holding = order, False
                self.dial(self._stream_count)
            case Follow():
                self._end_stream()
                self.stream = order
            case Cut():
                self._end_stream()
            case GoAlone():
                self._end_stream()
                self.alone, self.holding = True, False
                self._acknowledge(*self.waiting)
            case _:
                pass

    def _end_stream(self) -> None:
        self._stream_count += 1
        self.stream = None
        if self.link is not None:
            link, self.link = self.link, None
            link.end("the peer ended it", link.follower if link.leader is self else link.leader)

    # -- the stream ----------------------------------------------------------------------------------------------------

    @property
    def generation(self) -> Generation | None:
        return Generation(*self.stream.generation) if self.stream is not None else None

    def dial(self, count: int) -> None:
        """Until linked, unless another order has come."""
        if self._stream_count != count or self.link is not None or self.hung:
            return
        other = self.mirror.other(self.node)
        follower = other.volume
        network = self.mirror.network_between(self.node, other)
        ready = (
            follower is not None
            and not follower.hung
            and isinstance(follower.stream, Follow)
            and follower.link is None
            and follower.generation == self.generation
            and other.volume_frozen_until <= self.mirror.now
        )
        if ready and network is not None and follower is not None:
            self.link = follower.link = Link(self.mirror, network, self, follower)
            self._linked(self.link)
        else:
            self.later(DIAL_MS * MS, lambda: self.dial(count))

    def _linked(self, link: Link) -> None:
        assert isinstance(self.stream, Lead)
        follower = link.follower
        follower.node.torn = follower.node.torn or follower.node.data != self.node.data
        self.say(Linked())
        follower.say(Linked())
        self.later(self.mirror.resync_ns(), lambda: self._pair(link))

    def _pair(self, link: Link) -> None:
        """The resync has ended: from here on each write is acknowledged by both."""
        if link.broken or self.link is not link:
            return
        link.paired, self.alone = True, False
        snapshot, number = set(self.node.data), self.number
        link.resynced = number
        link.send(lambda: link.follower.complete(link, snapshot, number), to_follower=True)

    def complete(self, link: Link, snapshot: set[int], number: int) -> None:
        if self.link is not link or self.gone:
            return
        self.mirror.overwrites(self.node, link.leader.node, snapshot)
        self.node.data, self.node.torn, self.number = snapshot, False, number
        link.send(lambda: link.leader.in_sync(link), to_follower=False)

    def in_sync(self, link: Link) -> None:
        """The one that leads counts on it from here on; the one that follows has yet to hear so."""
        if self.link is link and not self.gone:
            self.acknowledged(link, link.resynced)
            self.say(InSync())
            link.send(lambda: link.follower.told_in_sync(link), to_follower=True)
            self.mirror.counts_on(link.follower.node)

    def told_in_sync(self, link: Link) -> None:
        if self.link is link and not self.gone:
            self.say(InSync())

    def unlinked(self, link: Link, reason: str) -> None:
        if self.link is link and not self.gone:
            self.link, self.stream, self.alone = None, None, False
            self._stream_count += 1
            self.say(Unlinked(reason))

    # -- writes --------------------------------------------------------------------------------------------------------

    def write(self, write: int) -> None:
        """An application's write. While nothing is decided it waits, and is not even made here."""
        paired = self.link is not None and self.link.paired
        if not self.mounted or self.hung or self.holding or not (self.alone or paired):
            return
        self.node.data.add(write)
        self.number += 1
        if self.alone:
            self._acknowledge(write)
            return
        self.waiting[write] = self.number
        link, number = self.link, self.number
        if link is not None and link.paired:
            link.send(lambda: link.follower.apply(link, write, number), to_follower=True)

    def apply(self, link: Link, write: int, number: int) -> None:
        if self.link is not link or self.gone:
            return
        self.mirror.applies(self.node)
        self.node.data.add(write)
        self.number = number
        link.send(lambda: link.leader.acknowledged(link, number), to_follower=False)

    def acknowledged(self, link: Link, number: int) -> None:
        if self.link is link and not self.gone:
            self._acknowledge(*[write for write, sent in self.waiting.items() if sent <= number])

    def _acknowledge(self, *writes: int) -> None:
        for write in writes:
            self.waiting.pop(write, None)
            self.mirror.acknowledge(self.node, write)

    # -- its end -------------------------------------------------------------------------------------------------------

    def fail(self, sentence: str) -> None:
        self.say(LocalFault(sentence))

    def end(self, *, silently: bool = False) -> None:
        """Killed; its mounts end with it. Silently: with its machine, so that nobody hears of it."""
        self.gone = True
        link, self.link = self.link, None
        if link is None:
            return
        other = link.follower if link.leader is self else link.leader
        if not silently:
            link.end("reset", other)
        elif not link.broken:
            link.broken = True
            link.leave_arrived(other)
            other.later(int(self.mirror.random.uniform(200, 5000) * MS), lambda: other.unlinked(link, "no answer"))
