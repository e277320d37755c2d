"""A mirror's heartbeats as bytes: what the envelope (farmd.kit.wire) carries.

    layouts of the sender   u8 oldest, u8 newest: those that it reads; this is of the newest
    echo for the receiver   as in a farm's
    clock of the sender     i64, nanoseconds since 1970
    word of the sender      u8 role, u16 flags, u64 fingerprint, u16 protocol, u64 handed, generation it follows,
                            u8 condition, generation, u8 length of the history, its generations

Integers are big-endian; a generation is u64 number, u8 node. What follows is of a newer version, and ignored.
"""

from __future__ import annotations

import struct

from farmd.codec import pack_echo, read_echo
from farmd.core.evidence import Echo
from farmd.errors import Malformed, OtherVersion
from farmd.kit.packing import Reader
from farmd.kit.wire import Frame
from mirrord.core.events import Heartbeat
from mirrord.core.generations import NONE, Condition, Generation, State
from mirrord.core.standing import Role, Word

LAYOUTS = (1, 1)
"""The oldest and the newest layout that this program reads, the newest of which it writes. A field that is added comes
last and raises the newest: who does not know it ignores it, and who misses it reads a heartbeat that is older than the
field. The oldest is raised as soon as no version before it needs to be understood. Two that have no layout in common
refuse each other."""

_LAYOUTS = struct.Struct(">BB")
_CLOCK = struct.Struct(">q")
_WORD = struct.Struct(">BHQHQ")
_CONDITION = struct.Struct(">B")
_GENERATION = struct.Struct(">QB")

_ROLES = (Role.STOP, Role.WAIT, Role.SECOND, Role.PRIM, Role.ALONE)
_CONDITIONS = (Condition.BLANK, Condition.INSYNC, Condition.ALONE, Condition.OUTDATED)
"""Their positions travel on the wire."""

_STORING, _SERVES, _ABLE, _ASKS, _FOLLOWS, _HANDED, _SWAP, _EMPTY, _SERVED, _YIELDS, _READY = (
    1 << bit for bit in range(11)
)


def pack(echo: Echo | None, word: bytes, clock_ns: int) -> bytes:
    """A heartbeat's payload. `word` is what `pack_word` made, `clock_ns` the Unix time."""
    return _LAYOUTS.pack(*LAYOUTS) + pack_echo(echo) + _CLOCK.pack(clock_ns) + word


def pack_word(word: Word) -> bytes:
    """What a node tells about itself."""
    flags = (
        _STORING * word.storing
        | _SERVES * word.serves
        | _ABLE * word.able
        | _ASKS * word.asks
        | _FOLLOWS * (word.follows is not None)
        | _HANDED * (word.handed is not None)
        | _SWAP * word.wants_swap
        | _EMPTY * word.empty
        | _SERVED * word.state.served
        | _YIELDS * word.yields
        | _READY * word.ready
    )
    state = word.state
    return b"".join(
        (
            _WORD.pack(_ROLES.index(word.role), flags, word.fingerprint, word.protocol, word.handed or 0),
            _pack_generation(word.follows or NONE),
            _CONDITION.pack(_CONDITIONS.index(state.condition)),
            _pack_generation(state.generation),
            bytes([len(state.history)]),
            *map(_pack_generation, state.history),
        )
    )


def unpack(frame: Frame) -> tuple[Heartbeat, int]:
    """What is in an authentic frame, and the sender's clock.

    Raises OtherVersion if there is no layout that both know, Malformed if the sender wrote nonsense.
    """
    reader = Reader(frame.payload)
    try:
        _check(*reader.take(_LAYOUTS))
        echo = read_echo(reader)
        (clock_ns,) = reader.take(_CLOCK)
        word = _read_word(reader)
    except (struct.error, IndexError, ValueError) as error:
        raise Malformed(f"node {frame.sender} sent a heartbeat that makes no sense ({error})") from None
    return Heartbeat(frame.sender, frame.incarnation, frame.seq, echo, word), clock_ns


def _check(oldest: int, newest: int) -> None:
    if newest < LAYOUTS[0] or oldest > LAYOUTS[1]:
        raise OtherVersion(
            f"the peer reads heartbeats of layouts {oldest} to {newest} and this program {LAYOUTS[0]} to {LAYOUTS[1]}"
        )


def _read_word(reader: Reader) -> Word:
    role, flags, fingerprint, protocol, handed = reader.take(_WORD)
    follows = _read_generation(reader)
    (condition,) = reader.take(_CONDITION)
    state = State(
        _read_generation(reader),
        reader.list(lambda: _read_generation(reader)),
        _CONDITIONS[condition],
        served=bool(flags & _SERVED),
    )
    return Word(
        role=_ROLES[role],
        state=state,
        storing=bool(flags & _STORING),
        yields=bool(flags & _YIELDS),
        serves=bool(flags & _SERVES),
        ready=bool(flags & _READY),
        able=bool(flags & _ABLE),
        asks=bool(flags & _ASKS),
        follows=follows if flags & _FOLLOWS else None,
        handed=handed if flags & _HANDED else None,
        wants_swap=bool(flags & _SWAP),
        empty=bool(flags & _EMPTY),
        fingerprint=fingerprint,
        protocol=protocol,
    )


def _pack_generation(generation: Generation) -> bytes:
    return _GENERATION.pack(generation.number, generation.node)


def _read_generation(reader: Reader) -> Generation:
    return Generation(*reader.take(_GENERATION))
