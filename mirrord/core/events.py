"""What goes into the core and what comes out of it: values, and nothing else.

Times are integers, nanoseconds of the node's own monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from farmd.core.evidence import Echo
from mirrord.core.generations import State
from mirrord.core.standing import Word
from mirrord.orders import Order, Report


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One authenticated message as it arrived."""

    sender: int
    incarnation: int
    seq: int
    echo: Echo | None
    state: Word


# -- events ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. The sockets were emptied first, so that nobody is judged by messages not yet read."""


@dataclass(frozen=True, slots=True)
class Received:
    """A heartbeat of the peer arrived."""

    heartbeat: Heartbeat
    clocks_apart_ns: int = 0
    """How far the peer's wall clock is ahead of ours, as far as can be told."""


@dataclass(frozen=True, slots=True)
class WitnessAnswered:
    """The witness answered a probe that was sent at `sent_ns`."""

    sent_ns: int


@dataclass(frozen=True, slots=True)
class Reported:
    """The volume's word; Done, too, in the order of the orders. A volume's first one is Opened or Refused."""

    report: Report


@dataclass(frozen=True, slots=True)
class VolumeLost:
    """The volume's process has ended, whether or not it was to. A new one is started and opened by the daemon."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The state of the last Store is on disk."""


@dataclass(frozen=True, slots=True)
class StoreRefused:
    """The disk does not take the state of the last Store; it is tried again, each time with this answer, until the disk
    takes it, and then Stored. Unless the answer is Forgo."""

    reason: str
    in_doubt: bool = False
    """It may be on the disk nevertheless."""


@dataclass(frozen=True, slots=True)
class ApplicationStopped:
    """No process of the application is left. The answer to StopApplication, also if there never was one."""


@dataclass(frozen=True, slots=True)
class Health:
    """What the supervision says of the application, between StartApplication and ApplicationStopped."""

    ready: bool
    failing: tuple[str, ...] = ()
    """The names of its failing checks, in order."""
    given_up: str = ""
    """Why it cannot be kept running here, in a sentence; empty: it can, or is still tried."""
    elsewhere: str = ""
    """Why the other node may do better, in a sentence. It runs on until that one can take the place."""


@dataclass(frozen=True, slots=True)
class Window:
    """Whether the preferred node may be given its place back now. Open until told otherwise."""

    open: bool


@dataclass(frozen=True, slots=True)
class Swap:
    """An operator's wish: the two change places."""


@dataclass(frozen=True, slots=True)
class Promote:
    """An operator's wish: serve with the data that is here."""

    force: bool = False
    """Even if that is known to be outdated."""


@dataclass(frozen=True, slots=True)
class Stop:
    """An operator's wish: do nothing any more. The peer takes over first, if it can."""


@dataclass(frozen=True, slots=True)
class Start:
    """An operator's wish: take part again; and try again what was given up."""


@dataclass(frozen=True, slots=True)
class Resync:
    """An operator's wish: compare everything anew, and make the follower equal."""


@dataclass(frozen=True, slots=True)
class Verify:
    """An operator's wish: compare everything and tell."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The daemon is to end: as Stop, and then Finished."""

    force: bool = False
    """Without waiting for the peer or for the application's own end."""


Wish = Swap | Promote | Stop | Start | Resync | Verify
Answer = Stored | StoreRefused | ApplicationStopped | Reported | VolumeLost
Event = Tick | Received | WitnessAnswered | Answer | Health | Window | Wish | Quit


# -- actions -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send this word to the peer over every network. Precedes the Lease it earns."""

    seq: int
    state: Word
    echoes: dict[int, Echo | None]


@dataclass(frozen=True, slots=True)
class Lease:
    """The address may answer until then; 0 closes it at once."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class AddressUp:
    """This node serves: the address is here. It answers while it has its lease."""


@dataclass(frozen=True, slots=True)
class AddressDown:
    """At once."""


@dataclass(frozen=True, slots=True)
class Command:
    """Hand this order to the volume; its Done comes back as Reported. All but Open, Rate and Quit, which are the
    daemon's own."""

    order: Order


@dataclass(frozen=True, slots=True)
class ReplaceVolume:
    """The volume hangs: kill it. VolumeLost is the answer, and then a new one is opened."""

    reason: str


@dataclass(frozen=True, slots=True)
class Store:
    """Write the state to disk and answer Stored when it is durable. There is never more than one on its way."""

    state: State


@dataclass(frozen=True, slots=True)
class Forgo:
    """The state that the disk has just refused is not to be tried again. Either it is there or the one before."""


@dataclass(frozen=True, slots=True)
class StartApplication:
    """The directories are mounted and the address is here: start it, keep it running, tell its Health."""


@dataclass(frozen=True, slots=True)
class StopApplication:
    """End it and answer ApplicationStopped. `force`: kill it at once; also after one without."""

    force: bool = False


@dataclass(frozen=True, slots=True)
class ProbeWitness:
    """Ask the witness now."""


@dataclass(frozen=True, slots=True)
class Note:
    """A transition worth a line in the log."""

    text: str


@dataclass(frozen=True, slots=True)
class TookOver:
    """This node serves in place of its silent peer, `silence_ns` after the last word heard of it."""

    silence_ns: int


@dataclass(frozen=True, slots=True)
class Finished:
    """Stopped, as Quit asked for; nothing more to do."""


Action = (
    Broadcast
    | Lease
    | AddressUp
    | AddressDown
    | Command
    | ReplaceVolume
    | Store
    | Forgo
    | StartApplication
    | StopApplication
    | ProbeWitness
    | Note
    | TookOver
    | Finished
)
