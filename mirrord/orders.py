"""What mirrord and its volume say to each other: one JSON object a line, over a socket between the two.

The daemon orders, the volume reports. An order that takes time is answered by Done with its number; orders are carried
out one after the other. When the daemon's end closes, the volume fences itself: it acknowledges nothing any more.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

LINE_BYTES_MAX = 1 << 20


# -- orders ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """The first order: what this volume is. It changes nothing on the machine; Opened or Refused is the answer."""

    mirror: str
    node: int
    directories: list[str]
    folder: str
    """Where the journal and what else must survive is kept."""
    ack: Literal["applied", "disk"]
    keys: list[str] = field(repr=False)
    """32 bytes each, in hexadecimal; the first one proves who we are, any of them is accepted."""
    addresses: list[str]
    """Our own, the replication network first."""
    peer: int
    peer_addresses: list[str]
    port: int
    tls: dict[str, str] | None = None
    """certificate, key and ca: paths of files; None: in the clear."""
    rate_bytes_s: int = 0
    """The most that resync sends; 0: no limit."""
    silent_after_s: float = 2.0
    """A link over a network that answers nothing for so long is given up."""


@dataclass(frozen=True, slots=True)
class Cover:
    """Cover every directory read-only, so that nobody changes it beside us."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Mount over every directory and answer applications. Changes wait until Lead has linked, or GoAlone comes."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Serve no longer: finish what is under way, settle times, unmount and cover. Done says the last number of the
    stream. `force`: under way or not, it ends now, and what was not acknowledged gets EIO."""

    force: bool = False


@dataclass(frozen=True, slots=True)
class Lead:
    """Dial the peer until linked; bring it up to date; report InSync; keep it so. Once a link has ended (Unlinked) none
    follows before the next order: a follower must be durably outdated before it is compared again."""

    generation: list[int]
    """[number, node]: both ends must have been told the same, or they do not link."""
    resync: Literal["journal", "everything"]
    keep: bool = False
    """The peer's data has diverged: what differs is kept there in a dated folder before it is overwritten."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Accept one link of the peer, apply what it sends, report InSync, too. After Unlinked none is accepted before the
    next order."""

    generation: list[int]
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """End the link and accept none, before Done is said: nothing of the peer is applied after that. Held changes stay
    held."""


@dataclass(frozen=True, slots=True)
class GoAlone:
    """The peer is durably known to be outdated: end the link, acknowledge held changes and all that follow without it.
    The journal drops nothing from here on."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A checkpoint and settled times, then changes wait: both ends are equal when Done is said. Withdraw or Lead ends
    it."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Compare a pair in sync while it runs; Verified is told when that has ended. While it goes on, it is not begun
    again."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The most that resync sends from now on."""

    bytes_s: int


@dataclass(frozen=True, slots=True)
class Quit:
    """Withdraw, uncover, end."""


Order = Open | Cover | Serve | Withdraw | Lead | Follow | Cut | GoAlone | Hold | Verify | Rate | Quit


# -- reports -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Alive:
    """A sign of life, each second and only from the loop that answers applications; with the figures since the last."""

    figures: dict[str, Any] = field(default_factory=dict)
    """changes, bytes, latency_us (histogram: upper bound -> count), in_flight, held, zones, lag_bytes, sent_bytes."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The directories can be mirrored."""

    empty: bool
    """None of them has an entry."""
    unclean: bool
    """The journal has zones in which this node's data may differ from the peer's."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A directory cannot be mirrored, or the journal is not readable; one plain sentence. Nothing was touched."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Done:
    """The order with this number is carried out; or, with a sentence, could not be."""

    seq: int = 0
    """The newest number of the stream at this end: sent, if we lead; applied, if we follow."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class NoLink:
    """Why the peer, which was looked for or expected for some time, is not at the other end; one plain sentence. Until
    Linked. What a stranger says does not come here."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Linked:
    """The peer is at the other end of the stream, and has proved to be the peer."""


@dataclass(frozen=True, slots=True)
class Unlinked:
    """The stream has ended. If we lead, changes are held until GoAlone or a new link."""

    reason: str
    peer_disk: bool = False
    """The peer could not carry out a change, and has left for it."""


@dataclass(frozen=True, slots=True)
class InSync:
    """From here on every acknowledged change is on both nodes, and both journals know what to compare after a crash."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a resync or verify is."""

    done_bytes: int
    total_bytes: int
    sent_bytes: int
    done_files: int
    total_files: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Files of a diverged side were kept before they were overwritten."""

    folder: str
    files: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What Verify found: the first hundred differing paths, each with what differs, and how many there are."""

    differing: list[str]
    count: int
    failure: str = ""
    """Why it ended before everything was compared."""


@dataclass(frozen=True, slots=True)
class LocalFault:
    """This node's disk or mount no longer does what it must; it should not serve."""

    sentence: str


Report = Alive | Opened | Refused | Done | NoLink | Linked | Unlinked | InSync | Progress | Kept | Verified | LocalFault

_KINDS: dict[str, type[Order | Report]] = {
    kind.__name__: kind
    for kind in (
        Open, Cover, Serve, Withdraw, Lead, Follow, Cut, GoAlone, Hold, Verify, Rate, Quit,
        Alive, Opened, Refused, Done, NoLink, Linked, Unlinked, InSync, Progress, Kept, Verified, LocalFault,
    )
}  # fmt: skip


def encode(message: Order | Report, number: int = 0) -> bytes:
    """A line. `number` is that of an order, in the order and in its answer."""
    line = {"kind": type(message).__name__, "number": number, **dataclasses.asdict(message)}
    return json.dumps(line).encode() + b"\n"


def decode(line: bytes) -> tuple[Order | Report, int]:
    """The message in a line, and the number of its order."""
    fields: dict[str, Any] = json.loads(line)
    kind, number = _KINDS[fields.pop("kind")], fields.pop("number")
    return kind(**fields), number
