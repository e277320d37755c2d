"""What a node knows of its peer and of the witness, and what may be concluded from a silence.

Two nodes in sync that part must not both go on without knowing. What can be known is when we sent the last message that
the peer has heard (`confirmed_ns`, see farmd.core.evidence). So:

- A node may act on the peer's silence only if the peer's last word confirmed a fresh one of ours. Else the peer may
  have gone on without us before it fell silent: it did not hear us, or we stood still. Nor may one that stood still
  since that word.
- A node that hears a peer which does not hear it may be replaced from `confirmed_ns` + D on: its lease ends then. If
  that peer serves already it cannot learn that it should not: who knows of both gives way at once.
- With a witness, silence alone allows nothing: the witness must have answered after the suspicion time was over.
"""

from __future__ import annotations

from farmd.core.evidence import Evidence, Peer
from mirrord.core.events import Heartbeat
from mirrord.core.generations import Condition
from mirrord.core.settings import Settings
from mirrord.core.standing import SERVING, Role, Word

NO_CAP = 2**63 - 1
NEVER = -(2**62)


class Contact:
    """The peer and the witness, as this run of the node has heard them."""

    def __init__(self, settings: Settings, incarnation: int, now_ns: int) -> None:
        self.settings = settings
        self.evidence = Evidence[Word]([settings.peer], incarnation, now_ns, settings.suspect_ns, settings.stale_ns)
        self.witness_ns = NEVER
        """When the newest probe was sent that the witness has answered."""
        self.clocks_apart_ns = 0
        self.awake_ns = now_ns
        """Since when we have not stood still for so long that the peer may have gone on without us."""

    @property
    def peer(self) -> Peer[Word]:
        return self.evidence.peers[self.settings.peer]

    def accept(self, now_ns: int, heartbeat: Heartbeat) -> bool:
        return self.evidence.accept(now_ns, heartbeat)

    def word(self, now_ns: int) -> Word | None:
        """What the peer says; None if it is not heard."""
        return self.peer.state if self.peer.live(now_ns, self.settings.suspect_ns) else None

    def silent(self, now_ns: int) -> bool:
        return self.peer.silent(now_ns, self.settings.suspect_ns)

    @property
    def suspected_ns(self) -> int:
        """When the silence becomes, or became, a suspicion."""
        return self.peer.heard_ns + self.settings.suspect_ns

    def heard_to_the_end(self) -> bool:
        """Whether the peer, when it spoke last, had heard us shortly before: it cannot have gone on without us then."""
        awake = self.peer.arrived_ns > self.awake_ns
        return awake and self.peer.heard_ns - self.peer.confirmed_ns <= self.settings.excluded_ns

    def hears(self, now_ns: int) -> bool:
        """Whether the peer has heard us so lately that it cannot have gone on without us by now."""
        return not self.peer.deaf and now_ns - self.peer.confirmed_ns <= self.settings.excluded_ns

    def confirmed_since(self, since_ns: int) -> bool:
        """Whether the peer's newest word was said after it heard one that we sent since then."""
        return self.peer.confirmed_ns >= since_ns

    def witnessed(self) -> bool:
        """Whether the witness, if there is one, answered after the peer was suspected."""
        return not self.settings.witness or self.witness_ns >= self.suspected_ns

    def in_doubt(self, now_ns: int) -> bool:
        """Whether the witness's word may soon be needed."""
        return self.settings.witness and now_ns - self.peer.confirmed_ns > self.settings.stale_ns

    def threatens(self, now_ns: int) -> bool:
        """Whether the peer does not hear us and serves, or may come to serve for that."""
        word = self.word(now_ns)
        if word is None or not self.peer.deaf:
            return False
        return word.role in SERVING or (word.role is Role.SECOND and word.state.condition is Condition.INSYNC)

    def cap_ns(self, now_ns: int, role: Role) -> int:
        """The latest time at which the lease of a node that serves may end. In the past: the peer may have taken over.

        Without a witness, a silent peer sets no cap: its death must not interrupt a survivor. Who is alone has a peer
        that cannot take over, unless its word says so.
        """
        times = []
        word = self.word(now_ns)
        if word is not None and self.peer.deaf and word.role in SERVING:
            return self.peer.reckoned_ns
        if self.threatens(now_ns) or (role is Role.PRIM and self.peer.deaf and word is not None):
            times.append(self.peer.reckoned_ns)
        if role is Role.PRIM and self.in_doubt(now_ns):
            times.append(max(self.peer.confirmed_ns, self.witness_ns))
        return min(times) + self.settings.suspect_ns if times else NO_CAP
