"""What a node is, and what it says of itself: its role, and the word that each heartbeat carries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mirrord.core.generations import Generation, State


class Role(StrEnum):
    """What a node does. The values are what people and programs are told."""

    STOP = "STOP"
    """Not started; or its operator wants it to do nothing."""
    WAIT = "WAIT"
    """Started, and may not serve: stale, undecided, or about to decide."""
    SECOND = "SECOND"
    """Follows: is brought up to date, or is in sync."""
    PRIM = "PRIM"
    """Serves, and the peer has all that is acknowledged."""
    ALONE = "ALONE"
    """Serves without a peer in sync."""


MOVES = {
    Role.STOP: {Role.WAIT},
    Role.WAIT: {Role.STOP, Role.SECOND, Role.ALONE},
    Role.SECOND: {Role.STOP, Role.WAIT, Role.PRIM, Role.ALONE},  # PRIM: handed over; ALONE: the primary fell silent
    Role.PRIM: {Role.WAIT, Role.SECOND, Role.ALONE},  # WAIT: fenced; SECOND: handed over; ALONE: without its peer
    Role.ALONE: {Role.STOP, Role.WAIT, Role.PRIM},
}
"""What may follow what."""

SERVING = frozenset({Role.PRIM, Role.ALONE})


class Readiness(StrEnum):
    """Whether a node does what its role is for. The values are what people and programs are told."""

    READY = "ready"
    TRANSIENT = "transient"
    """Not yet, and it needs nobody for it."""
    NOT_READY = "not-ready"


@dataclass(frozen=True, slots=True)
class Word:
    """Everything a node tells about itself. Each heartbeat carries all of it, so a lost one is repaired by the next."""

    role: Role
    state: State
    """What it has on disk."""
    storing: bool
    """It is writing another state: nobody may rely on this one."""
    yields: bool
    """Its disk refuses to store that it is outdated. It is in sync there at most, and as such serves only after it has
    been in contact (waiting.py); and before it has stored this it does nothing else. So this word is as good as the
    disk's."""
    serves: bool
    """Something of it may still reach clients or files: its address, its application or its mount."""
    ready: bool
    """It does what its role is for."""
    able: bool
    """It could serve: nothing is broken, nobody told it to stop."""
    asks: bool
    """It wants to serve without its peer, and for that the peer must be durably outdated."""
    follows: Generation | None
    """It accepts the stream of this generation."""
    handed: int | None
    """It has ended serving so that its peer, in sync, begins; this is the last number of its stream."""
    wants_swap: bool
    """Somebody told it that the two should change places."""
    empty: bool
    """Its directories have no entry."""
    fingerprint: int
    """Of what must be configured alike on both, 64 bits."""
    protocol: int
    """The newest version of the stream that it speaks; it speaks the one before, too."""
