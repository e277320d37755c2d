"""One node's part in the mirror: step(now, event) -> actions.

Every write is acknowledged by both nodes, or by one that has first made sure, durably, that the other will not serve.
There are five ways to come to serve, and each keeps to that:

    continue   what was alone still is: nobody else has what is here (waiting.py)
    agree      the peer has stored that it is outdated, and said so after it was asked (waiting.py, serving.py)
    silence    in sync, and the peer, which had heard us to the end, is silent; the witness answers (following.py,
               serving.py)
    hand over  the peer has ended serving, and both have the same last number of the stream (ending.py, following.py)
    promote    an operator says so

All but the hand-over begin a generation, which is on disk before the first write. Who serves and hears of a newer
generation, or of one that wins (contest.py), is fenced: address, application and mount end at once.
"""

from __future__ import annotations

from farmd.core.evidence import Evidence
from mirrord.core import ending, following, hearing, objections, readiness, serving, waiting
from mirrord.core.contact import Contact
from mirrord.core.contest import Verdict, verdict
from mirrord.core.events import Action, Broadcast, Event, Finished, Quit, Tick
from mirrord.core.generations import State
from mirrord.core.machine import Machine
from mirrord.core.settings import Settings
from mirrord.core.standing import MOVES, SERVING, Readiness, Role, Word
from mirrord.orders import Follow


class Core:
    """The state of one node. `incarnation` names this run and must differ from every earlier one's; `state` is what is
    on disk (State() if nothing is)."""

    def __init__(self, settings: Settings, incarnation: int, state: State, now_ns: int) -> None:
        self.settings = settings
        self.contact = Contact(settings, incarnation, now_ns)
        self.machine = Machine(state, now_ns)
        self.role = Role.WAIT
        self.since_ns = self.started_ns = now_ns
        """When it came to its role, and when this run began."""
        self.wanted = True
        """It is to take part."""
        self.unwanted_ns = now_ns
        """When it was told to take part no more."""
        self.quitting: Quit | None = None
        self.finished = False
        self.ending: ending.Ending | None = None
        """It serves, and is about to end that in peace."""
        self.asks_since_ns: int | None = None
        """Since when the peer is asked to be outdated."""
        self.handed: int | None = None
        """It has handed over: the last number of its stream."""
        self.counted = False
        """The peer hands over, and the stream was cut to compare its last number with ours."""
        self.fresh = False
        """It has just handed over or been handed over to: both are equal, and may link once without more ado."""
        self.stands_in = False
        """It serves because the peer could not: the preferred node gets its place back."""
        self.everything = False
        """The next resync compares everything."""
        self.swap_until_ns = now_ns
        self.broken_until_ns = now_ns
        """The application could not be kept running here, or may do better there."""
        self.broken_why = ""
        """And why, in a sentence."""
        self.window_open = True
        self.promoted = False
        """An operator has said, since it waits, that its data counts."""
        self.obstacle = ""
        """Why it waits, in a sentence."""
        self._seq = 0
        self._spoken: Word | None = None
        self.ticked_ns = now_ns
        self._heard = False
        self.mismatched = ""
        """Why the two may not be linked, as far as the peer is heard; in a sentence."""
        self.asked = False
        """The peer asks, and has yet to hear that it was heard."""

    # -- what others read ----------------------------------------------------------------------------------------------

    @property
    def evidence(self) -> Evidence[Word]:
        return self.contact.evidence

    @property
    def state(self) -> State:
        """What is on disk."""
        return self.machine.state

    @property
    def readiness(self) -> Readiness:
        return readiness.of(self)[0]

    @property
    def reason(self) -> str:
        """Why it is not ready, or what it does about it, in a sentence; may be empty."""
        return readiness.of(self)[1]

    @property
    def in_sync(self) -> bool:
        """Whether both have everything, as far as is known here."""
        return readiness.in_sync(self)

    @property
    def linked(self) -> bool:
        return self.machine.volume.linked

    @property
    def lease_until_ns(self) -> int:
        return self.machine.lease_until_ns

    @property
    def clocks_apart_ns(self) -> int:
        return self.contact.clocks_apart_ns

    @property
    def deadline_ns(self) -> int:
        """When the next Tick is due: to speak, or to notice a silence."""
        moments = (self.contact.suspected_ns, self.contact.suspected_ns + self.settings.witness_wait_ns)
        return min([self.ticked_ns + self.settings.heartbeat_ns, *(at for at in moments if at > self.ticked_ns)])

    @property
    def able(self) -> bool:
        """Whether it could serve."""
        volume = self.machine.volume
        broken = bool(volume.fault or self.machine.refusal) or self.ticked_ns < self.broken_until_ns
        return self.wanted and volume.opened is not None and not broken

    @property
    def next_try_ns(self) -> int:
        """Till then an application that could not be kept running here rests. Where nobody else can serve, it is tried
        again and again."""
        return self.broken_until_ns - self.settings.broken_ns + self.settings.retry_ns

    def objection(self, now_ns: int, wish: Event) -> str:
        """Why an operator's wish cannot be fulfilled now, in a sentence; empty if it can. Ask before `step`."""
        return objections.to(self, now_ns, wish)

    def word(self) -> Word:
        """What this node says of itself."""
        machine, follows = self.machine, isinstance(self.machine.volume.stream, Follow)
        return Word(
            role=self.role,
            state=machine.state,
            storing=machine.writing is not None,
            yields=machine.yields,
            serves=machine.serves or self.role in SERVING,
            ready=self.readiness is Readiness.READY,
            able=self.able,
            asks=self.asks_since_ns is not None,
            follows=machine.volume.generation if follows else None,
            handed=self.handed,
            wants_swap=self.ticked_ns < self.swap_until_ns,
            empty=machine.volume.opened is not None and machine.volume.opened.empty,
            fingerprint=self.settings.fingerprint,
            protocol=self.settings.protocol,
        )

    # -- the one way in ------------------------------------------------------------------------------------------------

    def step(self, now_ns: int, event: Event) -> list[Action]:
        """Takes one event and returns what must be done, in this order.

        A node whose own loop was late first reads all that has arrived and judges only at the Tick that follows.
        """
        self.machine.out, self.machine.refused_now = [], False
        hearing.take(self, now_ns, event)
        if now_ns - self.ticked_ns <= self.settings.stale_ns:
            self._tell_news(now_ns)
            self._advance(now_ns)
            self._speak(now_ns, due=isinstance(event, Tick))
        return self.machine.out

    # -- from one role to the next -------------------------------------------------------------------------------------

    def _advance(self, now_ns: int) -> None:
        """Goes as far as what is known allows."""
        if self.machine.volume.silent(now_ns, self.settings.volume_silent_ns):
            self.machine.replace_volume("it gives no sign of life")
        elif self.machine.volume.stuck:
            self.machine.replace_volume(self.machine.volume.fault)
        for _ in Role:
            before = self.role
            self._decide(now_ns)
            if self.role is before:
                break
        self._work(now_ns)

    def _decide(self, now_ns: int) -> None:
        match self.role:
            case Role.STOP:
                waiting.rest(self, now_ns)
            case Role.WAIT:
                waiting.decide(self, now_ns)
            case Role.SECOND:
                following.decide(self, now_ns)
            case Role.PRIM | Role.ALONE:
                serving.decide(self, now_ns)

    def _work(self, now_ns: int) -> None:
        """Brings the machine a step nearer to what the role is for."""
        if self.role not in SERVING:
            following.work(self, now_ns)
        elif self.ending is not None:
            ending.work(self, now_ns)
        else:
            serving.work(self, now_ns)

    def become(self, now_ns: int, role: Role, why: str) -> None:
        assert role in MOVES[self.role], f"from {self.role} to {role}: {why}"
        self.machine.note(f"{self.role} -> {role}: {why}")
        before = self.role
        self.role, self.since_ns, self.obstacle = role, now_ns, why
        self.asks_since_ns, self.handed, self.ending = None, None, None
        self.counted = self.fresh = self.promoted = False
        self.swap_until_ns = self.ticked_ns
        if role is Role.ALONE and before is not Role.PRIM:
            self.stands_in = True
        elif before is Role.SECOND:
            self.stands_in = False

    def fence(self, why: str) -> None:
        """Ends serving at once. A crash right here leaves what an earlier one leaves: nothing durable has changed."""
        if self.role in SERVING:
            self.become(self.ticked_ns, Role.WAIT, f"fenced: {why}")
        self.machine.close()

    def go_alone(self, now_ns: int, why: str = "") -> None:
        """Begins a generation, and serves in it once it is on disk.

        A crash before it is there: as before. A crash after: this node goes on alone when it is back, at once, and the
        peer finds itself behind. If the peer of one that follows is heard again before it is there, it waits.
        """
        other = self.contact.peer.state
        newest = other.state.generation.number if other is not None else 0
        before = self.role

        def then(stored_ns: int) -> None:
            # Who waits, goes on as one that has been alone, unless the peer serves by now (waiting.py).
            if self.role is not before or before is Role.WAIT:
                return
            if before is Role.SECOND and self.contact.word(stored_ns) is not None:
                self.become(stored_ns, Role.WAIT, f"{self.peer_name} is heard again")
                return
            self.machine.volume.alone = False  # not yet in this generation
            self.become(stored_ns, Role.ALONE, why)

        self.machine.store(self.state.alone(self.settings.node, newest), then)

    def finish(self) -> None:
        """Nothing more to do."""
        if not self.finished:
            self.finished = True
            self.machine.out.append(Finished())

    def verdict(self, word: Word) -> Verdict:
        return verdict(self.settings, self.word(), word)

    def mismatch(self, word: Word) -> str:
        """Why the two may not be linked, in a sentence; empty if they may."""
        peer = self.settings.name_of(self.settings.peer)
        if abs(word.protocol - self.settings.protocol) > 1:
            return f"node {peer} speaks version {word.protocol} of the stream, this one {self.settings.protocol}"
        if word.fingerprint != self.settings.fingerprint:
            return f"the configuration of node {peer} differs from the one here"
        return ""

    @property
    def peer_name(self) -> str:
        return f"node {self.settings.name_of(self.settings.peer)}"

    # -- speaking ------------------------------------------------------------------------------------------------------

    def _tell_news(self, now_ns: int) -> None:
        word = self.contact.word(now_ns)
        heard = word is not None
        if heard != self._heard:
            self._heard = heard
            self.machine.note(f"{self.peer_name} is {'heard' if heard else 'silent'}")
        mismatch = "" if word is None else self.mismatch(word)
        if mismatch != self.mismatched:
            self.mismatched = mismatch
            if mismatch:
                self.machine.note(f"the two cannot be linked: {mismatch}")

    def _speak(self, now_ns: int, *, due: bool) -> None:
        """Speaks when it is time or when there is something new to say, and renews the lease by it; in this order, so
        that a node stopped in between has the shorter lease."""
        word = self.word()
        unleased = self.machine.address and self.machine.lease_until_ns == 0
        if due or unleased or self.asked or word != self._spoken:
            self._spoken, self.asked = word, False
            self._seq += 1
            self.evidence.sent.record(self._seq, now_ns)
            self.machine.out.append(Broadcast(self._seq, word, self.evidence.echoes(now_ns)))
            if self.machine.address:
                until_ns = now_ns + self.settings.lease_ns
                self.machine.renew(min(until_ns, self.contact.cap_ns(now_ns, self.role)))
        elif self.machine.address:
            cap_ns = self.contact.cap_ns(now_ns, self.role)
            if cap_ns < self.machine.lease_until_ns:
                self.machine.renew(cap_ns)
