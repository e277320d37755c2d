"""The envelope of every datagram between daemons: who sent it, which one it is, and proof that a key holder wrote it.

    offset  size  field
    0       4     magic "FRMD"
    4       1     version
    5       8     tag of the farm's name
    13      1     sender, a node's id
    14      8     incarnation: larger after each start of the sender
    22      8     seq: larger with each datagram of an incarnation
    30      n     payload
    30 + n  16    keyed BLAKE2b (RFC 7693) of everything before it

Integers are big-endian. Authenticity ends here; whether a sequence number was seen before is the receiver's to judge,
because only it knows what it has heard.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from farmd.errors import Forged, Malformed, OtherFarm, OtherVersion, Truncated

VERSION = 2
"""Raised whenever an older program could misread a newer one's datagram."""

_MAGIC = b"FRMD"
_HEADER = struct.Struct(">4sB8sBQQ")

MAC_BYTES = 16
"""Of the proof at the end of every message."""

OVERHEAD_BYTES = _HEADER.size + MAC_BYTES
"""What the envelope adds to a payload."""

PAYLOAD_BYTES_MAX = 65507 - OVERHEAD_BYTES
"""The largest UDP payload over IPv4 (65,535 - 20 - 8 bytes), less the envelope."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One authentic datagram, or one to be sealed."""

    sender: int
    """The sending node's id, 1 to 255."""

    incarnation: int
    """The sender's start number, 64 bits."""

    seq: int
    """The datagram's number within the incarnation, 64 bits."""

    payload: bytes
    """What the envelope carries; opaque here."""


class Keyring:
    """The farm's keys: the first one seals, any of them unseals.

    So a key is replaced without an interruption, node after node: first `[old, new]` on every node, then `[new, old]`,
    then `[new]`.
    """

    def __init__(self, keys: Sequence[bytes], *, purpose: bytes = b"farmd.datagram") -> None:
        """keys: at least one, 32 bytes each, as the configuration derived them.

        purpose: what the MACs are for, at most 16 bytes; a MAC made for one purpose is none for another.
        """
        assert keys, "a keyring needs a key"
        assert all(len(key) == 32 for key in keys), "a key has 32 bytes"
        # A key of their own keeps these MACs apart from every other use of the configured key.
        # Each keyed state is built once and copied for every datagram.
        self._states = [hashlib.blake2b(key=_derived(key, purpose), digest_size=MAC_BYTES) for key in keys]

    def sign(self, signed: bytes) -> bytes:
        """The MAC of these bytes under the first key."""
        return _mac(self._states[0], signed)

    def verifies(self, signed: bytes, mac: bytes) -> bool:
        """Whether the MAC is that of these bytes under any key."""
        return any(hmac.compare_digest(_mac(state, signed), mac) for state in self._states)


def seal(frame: Frame, farm: str, keyring: Keyring) -> bytes:
    """The frame as a datagram for the farm of this name."""
    assert 1 <= frame.sender <= 255, "a node's id is 1 to 255"
    assert len(frame.payload) <= PAYLOAD_BYTES_MAX, "a payload fits into one datagram"
    header = _HEADER.pack(_MAGIC, VERSION, _farm_tag(farm), frame.sender, frame.incarnation, frame.seq)
    signed = header + frame.payload
    return signed + keyring.sign(signed)


def unseal(datagram: bytes, farm: str, keyring: Keyring) -> Frame:
    """The frame in a datagram.

    Raises, in this order of checks: Truncated, Malformed (not ours), OtherVersion, OtherFarm, Forged, Malformed (an
    impossible sender). The cheap checks come first, so that foreign traffic costs no MAC.
    """
    if len(datagram) < OVERHEAD_BYTES:
        raise Truncated(f"{len(datagram)} bytes are fewer than the {OVERHEAD_BYTES} of an empty message")
    magic, version, tag, sender, incarnation, seq = _HEADER.unpack_from(datagram)
    if magic != _MAGIC:
        raise Malformed("the datagram does not begin as ours do")
    if version != VERSION:
        raise OtherVersion(f"the datagram has version {version} and this program speaks {VERSION}")
    if tag != _farm_tag(farm):
        raise OtherFarm(f"the datagram is not for farm {farm}")
    if not keyring.verifies(datagram[:-MAC_BYTES], datagram[-MAC_BYTES:]):
        raise Forged("the datagram is not sealed with any of our keys")
    if sender == 0:
        raise Malformed("no node has the id 0")
    return Frame(sender, incarnation, seq, datagram[_HEADER.size : -MAC_BYTES])


def _mac(state: hashlib.blake2b, signed: bytes) -> bytes:
    mac = state.copy()
    mac.update(signed)
    return mac.digest()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(key=key, digest_size=32, person=purpose).digest()


@functools.cache
def _farm_tag(farm: str) -> bytes:
    """Tells farms on one network apart without telling their names; secrecy is the MAC's matter."""
    return hashlib.blake2b(farm.encode(), digest_size=8, person=b"farmd.farm").digest()
