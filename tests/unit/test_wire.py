"""The envelope: its bytes, and the order in which an unsuitable datagram is judged."""

from __future__ import annotations

import hashlib
import struct

import pytest

from farmd.errors import Forged, Malformed, OtherFarm, OtherVersion, RemoteError, Truncated
from farmd.kit.wire import OVERHEAD_BYTES, PAYLOAD_BYTES_MAX, Frame, Keyring, seal, unseal

OLD = bytes(range(32))
NEW = bytes(range(32, 64))
FRAME = Frame(sender=7, incarnation=2, seq=3, payload=b"hello")


def resealed(header: bytes, payload: bytes) -> bytes:
    """A datagram as the documented format has it, built without the code under test."""
    key = hashlib.blake2b(key=OLD, digest_size=32, person=b"farmd.datagram").digest()
    return header + payload + hashlib.blake2b(header + payload, key=key, digest_size=16).digest()


def header(magic: bytes = b"FRMD", version: int = 2, farm: str = "web", sender: int = 7) -> bytes:
    tag = hashlib.blake2b(farm.encode(), digest_size=8, person=b"farmd.farm").digest()
    return magic + bytes([version]) + tag + bytes([sender]) + struct.pack(">QQ", 2, 3)


def test_the_format_is_the_documented_one() -> None:
    datagram = resealed(header(), b"hello")
    assert seal(FRAME, "web", Keyring([OLD])) == datagram
    assert unseal(datagram, "web", Keyring([OLD])) == FRAME
    assert len(datagram) == OVERHEAD_BYTES + 5 == 46 + 5


@pytest.mark.parametrize(
    ("datagram", "error"),
    [
        (b"", Truncated),
        (header() + bytes(15), Truncated),
        (resealed(header(magic=b"HTTP"), b""), Malformed),
        (resealed(header(magic=b"HTTP", version=9), b""), Malformed),
        (resealed(header(version=1), b""), OtherVersion),
        (resealed(header(version=1, farm="shop"), b""), OtherVersion),
        (resealed(header(farm="shop"), b""), OtherFarm),
        (header(farm="shop") + bytes(16), OtherFarm),
        (header() + bytes(16), Forged),
        (resealed(header(), b"hello")[:-1], Forged),
        (resealed(header(), b"hello") + b"\0", Forged),
        (resealed(header(sender=0), b""), Malformed),
        (header(sender=0) + bytes(16), Forged),
    ],
)
def test_the_first_check_that_fails_names_the_error(datagram: bytes, error: type[RemoteError]) -> None:
    with pytest.raises(RemoteError) as caught:
        unseal(datagram, "web", Keyring([OLD]))
    assert type(caught.value) is error


def test_the_first_key_seals_and_every_key_unseals() -> None:
    sealed_new = seal(FRAME, "web", Keyring([NEW, OLD]))
    assert sealed_new == seal(FRAME, "web", Keyring([NEW]))
    assert unseal(sealed_new, "web", Keyring([OLD, NEW])) == FRAME
    with pytest.raises(Forged):
        unseal(sealed_new, "web", Keyring([OLD]))


def test_the_largest_payload_fits_into_one_udp_datagram() -> None:
    frame = Frame(255, 2**64 - 1, 2**64 - 1, bytes(PAYLOAD_BYTES_MAX))
    datagram = seal(frame, "web", Keyring([OLD]))
    assert len(datagram) == 65507
    assert unseal(datagram, "web", Keyring([OLD])) == frame


@pytest.mark.parametrize(
    "frame", [Frame(0, 1, 1, b""), Frame(256, 1, 1, b""), Frame(1, 1, 1, bytes(PAYLOAD_BYTES_MAX + 1))]
)
def test_a_frame_that_cannot_be_sent_is_our_bug(frame: Frame) -> None:
    with pytest.raises(AssertionError):
        seal(frame, "web", Keyring([OLD]))


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b""]])
def test_a_keyring_of_wrong_keys_is_our_bug(keys: list[bytes]) -> None:
    with pytest.raises(AssertionError):
        Keyring(keys)


def test_a_mac_for_one_purpose_is_none_for_another() -> None:
    key = bytes(32)
    mac = Keyring([key], purpose=b"mirrord.stream").sign(b"the same words")
    assert Keyring([key], purpose=b"mirrord.stream").verifies(b"the same words", mac)
    assert not Keyring([key]).verifies(b"the same words", mac)
