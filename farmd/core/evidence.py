"""What a node knows about each peer: whether it lives, and whether it hears us.

Every message echoes the newest message heard from its receiver. So the receiver knows when it *sent* the last message
that the peer has *heard* (`confirmed_ns`), on its own clock. From that follow both the proof that a peer is alive now,
not recorded earlier, and the moment from which that peer may believe us dead.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

US = 1000
"""Nanoseconds in a microsecond."""
HELD_US_MAX = 2**32 - 1
"""More than an hour, and no echo counts for as long as that."""

State = TypeVar("State")
"""What nodes tell each other of themselves."""
StateSaid = TypeVar("StateSaid", covariant=True)


@dataclass(frozen=True, slots=True)
class Echo:
    """The newest message that the sender has heard from the receiver: proof that the receiver's words arrive."""

    incarnation: int
    seq: int
    proved: bool = True
    """False: noticed only. The receiver has yet to prove that it is alive, and counts as silent until then."""
    held_us: int = 0
    """For how long the sender had that message when it sent this one, so that the way there and back can be told from
    the waiting in between."""


class Message(Protocol[StateSaid]):
    """One authenticated message as it arrived."""

    @property
    def sender(self) -> int: ...

    @property
    def incarnation(self) -> int: ...

    @property
    def seq(self) -> int: ...

    @property
    def echo(self) -> Echo | None: ...

    @property
    def state(self) -> StateSaid: ...


class SentLog:
    """When each of our own messages was sent, for as long as an echo of it can mean anything."""

    def __init__(self, keep_ns: int) -> None:
        self._keep_ns = keep_ns
        self._sent: OrderedDict[int, int] = OrderedDict()

    def record(self, seq: int, now_ns: int) -> None:
        self._sent[seq] = now_ns
        while next(iter(self._sent.values())) < now_ns - self._keep_ns:
            self._sent.popitem(last=False)

    def time_of(self, seq: int) -> int | None:
        return self._sent.get(seq)


@dataclass(slots=True)
class Peer(Generic[State]):
    """The evidence about one peer. `heard_ns` starts at our own start: until the suspicion time is over, a peer never
    heard of is not yet silent."""

    id: int
    heard_ns: int
    incarnation: int | None = None
    """The run of the peer that has proved to be alive; None: none yet."""
    seq: int = 0
    arrived_ns: int = 0
    """When that message arrived here."""
    round_trip_ns: int | None = None
    """Smoothed time from here to the peer's program and back (SRTT of RFC 6298, section 2); None: not yet measured."""
    confirmed_seq: int = 0
    confirmed_ns: int = 0
    """When we sent the last message that this peer has heard."""
    granted_ns: int = 0
    """After a silence: the time up to which it is let off hearing us. Unlike `confirmed_ns` this proves nothing."""
    deaf: bool = False
    """Its newest message echoed an old one of ours: it is losing what we say."""
    state: State | None = None
    candidate: Echo | None = field(default=None)
    """A run not proved yet. We echo it, so that it can prove itself by echoing us."""

    @property
    def reckoned_ns(self) -> int:
        """From when on we count its not hearing us."""
        return max(self.confirmed_ns, self.granted_ns)

    def echo(self, now_ns: int) -> Echo | None:
        """What our next message to this peer says that we heard from it."""
        if self.candidate is not None:
            return self.candidate
        if self.incarnation is None:
            return None
        return Echo(self.incarnation, self.seq, held_us=min((now_ns - self.arrived_ns) // US, HELD_US_MAX))

    def measure(self, round_trip_ns: int) -> None:
        """Takes a new measurement of the round trip into account. The clock that says how long the peer held a message
        is its own and may run fast, so a very short one may seem negative."""
        newest_ns = max(0, round_trip_ns)
        known_ns = self.round_trip_ns
        self.round_trip_ns = newest_ns if known_ns is None else known_ns + (newest_ns - known_ns) // 8

    def silent(self, now_ns: int, suspect_ns: int) -> bool:
        """Whether the peer has been unheard for the suspicion time."""
        return now_ns - self.heard_ns >= suspect_ns

    def live(self, now_ns: int, suspect_ns: int) -> bool:
        """Whether the peer has proved itself and is heard."""
        return self.incarnation is not None and not self.silent(now_ns, suspect_ns)


class Evidence(Generic[State]):
    """The evidence about all peers, kept by one node.

    `suspect_ns` is the suspicion time, `stale_ns` the age from which an echo says that our messages are being lost.
    """

    def __init__(self, peers: list[int], incarnation: int, now_ns: int, suspect_ns: int, stale_ns: int) -> None:
        self.incarnation = incarnation
        self.suspect_ns = suspect_ns
        self.stale_ns = stale_ns
        self.sent = SentLog(keep_ns=4 * suspect_ns)
        self.peers: dict[int, Peer[State]] = {peer: Peer(peer, now_ns) for peer in sorted(peers)}
        self.unproved = 0
        """Authentic messages that proved nothing: repeated, overtaken, or of a run that has not heard us."""

    def accept(self, now_ns: int, heartbeat: Message[State]) -> bool:
        """Weighs a message. True if it is evidence, and then what it says may be acted on."""
        peer = self.peers[heartbeat.sender]
        if heartbeat.incarnation == peer.incarnation:
            if heartbeat.seq <= peer.seq:
                self.unproved += 1
                return False
        elif not self._adopts(now_ns, peer, heartbeat):
            self.unproved += 1
            return False
        returns = peer.silent(now_ns, self.suspect_ns) or heartbeat.incarnation != peer.incarnation
        peer.incarnation = heartbeat.incarnation
        peer.seq = heartbeat.seq
        peer.heard_ns = peer.arrived_ns = now_ns
        peer.candidate = None
        peer.state = heartbeat.state
        self._confirm(now_ns, peer, heartbeat.echo)
        if returns and now_ns - peer.confirmed_ns >= self.suspect_ns:
            # A new run, or the end of a partition. Whoever follows the older view closes as soon as it hears the other.
            # It gets the time to do so before its deafness counts, or at the first message every node would close.
            peer.granted_ns = now_ns - self.suspect_ns + self.stale_ns
        peer.deaf = now_ns - peer.reckoned_ns > self.stale_ns
        return True

    def _adopts(self, now_ns: int, peer: Peer[State], heartbeat: Message[State]) -> bool:
        """Whether an unknown run of the peer proves to be alive: it echoes what this run of ours said just now.

        While a proved run speaks regularly, others are not even noticed: a recording must not be able to disturb it.
        """
        sent_ns = self._echoed_at(heartbeat.echo)
        if sent_ns is not None and now_ns - sent_ns <= self.suspect_ns:
            peer.confirmed_seq = 0
            peer.confirmed_ns = now_ns - self.suspect_ns
            return True
        if peer.incarnation is None or now_ns - peer.heard_ns > self.stale_ns:
            peer.candidate = Echo(heartbeat.incarnation, heartbeat.seq, proved=False)
        return False

    def _echoed_at(self, echo: Echo | None) -> int | None:
        if echo is None or echo.incarnation != self.incarnation:
            return None
        return self.sent.time_of(echo.seq)

    def _confirm(self, now_ns: int, peer: Peer[State], echo: Echo | None) -> None:
        sent_ns = self._echoed_at(echo)
        if echo is not None and echo.proved and sent_ns is not None and echo.seq > peer.confirmed_seq:
            peer.confirmed_seq = echo.seq
            peer.confirmed_ns = sent_ns
            peer.measure(now_ns - sent_ns - echo.held_us * US)

    def forgive(self, lost_ns: int, now_ns: int) -> None:
        """Time in which this node did not listen is nobody's silence."""
        for peer in self.peers.values():
            peer.heard_ns = min(now_ns, peer.heard_ns + lost_ns)

    def live(self, now_ns: int) -> list[Peer[State]]:
        """Peers that are proved and heard, in the order of their numbers."""
        return [peer for peer in self.peers.values() if peer.live(now_ns, self.suspect_ns)]

    def silent(self, peer: Peer[State], now_ns: int) -> bool:
        return peer.silent(now_ns, self.suspect_ns)

    def echoes(self, now_ns: int) -> dict[int, Echo | None]:
        """What each peer is told about its own words."""
        return {peer.id: peer.echo(now_ns) for peer in self.peers.values()}

    def suspects(self, now_ns: int) -> frozenset[int]:
        return frozenset(id for id, peer in self.peers.items() if peer.silent(now_ns, self.suspect_ns))

    def fit(self, now_ns: int) -> bool:
        """Whether every peer that we hear also hears us."""
        return not any(peer.deaf for peer in self.live(now_ns))
