"""The envelope under any input: what was sealed is unsealed, and nothing else is."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from farmd.errors import Forged, Malformed, OtherFarm, OtherVersion, RemoteError, Truncated
from farmd.kit.wire import OVERHEAD_BYTES, VERSION, Frame, Keyring, seal, unseal

MAGIC = range(0, 4)
VERSION_OFFSET = 4
FARM_TAG = range(5, 13)

farms = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=32)
keys = st.binary(min_size=32, max_size=32)
frames = st.builds(
    Frame,
    sender=st.integers(1, 255),
    incarnation=st.integers(0, 2**64 - 1),
    seq=st.integers(0, 2**64 - 1),
    payload=st.binary(max_size=300),
)


def judged(datagram: bytes, farm: str, keyring: Keyring) -> type[RemoteError] | Frame:
    try:
        return unseal(datagram, farm, keyring)
    except RemoteError as error:
        return type(error)


@given(frames, farms, st.lists(keys, min_size=1, max_size=3, unique=True))
def test_what_was_sealed_is_unsealed(frame: Frame, farm: str, key_list: list[bytes]) -> None:
    assert unseal(seal(frame, farm, Keyring(key_list)), farm, Keyring(key_list)) == frame


@given(frames, farms, keys, st.data())
def test_any_flipped_bit_is_noticed_as_what_it_is(frame: Frame, farm: str, key: bytes, data: st.DataObject) -> None:
    datagram = bytearray(seal(frame, farm, Keyring([key])))
    offset = data.draw(st.integers(0, len(datagram) - 1))
    datagram[offset] ^= 1 << data.draw(st.integers(0, 7))
    expected: type[RemoteError] = Forged
    if offset in MAGIC:
        expected = Malformed
    elif offset == VERSION_OFFSET:
        expected = OtherVersion
    elif offset in FARM_TAG:
        expected = OtherFarm
    assert judged(bytes(datagram), farm, Keyring([key])) is expected


@given(frames, farms, keys, st.data())
def test_any_truncation_is_noticed(frame: Frame, farm: str, key: bytes, data: st.DataObject) -> None:
    datagram = seal(frame, farm, Keyring([key]))
    length = data.draw(st.integers(0, len(datagram) - 1))
    expected = Truncated if length < OVERHEAD_BYTES else Forged
    assert judged(datagram[:length], farm, Keyring([key])) is expected


@given(frames, farms, keys, st.binary(min_size=1, max_size=50))
def test_anything_appended_is_noticed(frame: Frame, farm: str, key: bytes, more: bytes) -> None:
    assert judged(seal(frame, farm, Keyring([key])) + more, farm, Keyring([key])) is Forged


@given(frames, farms, farms, keys)
def test_another_farm_is_told_apart(frame: Frame, farm: str, other: str, key: bytes) -> None:
    assume(farm != other)
    assert judged(seal(frame, farm, Keyring([key])), other, Keyring([key])) is OtherFarm


@given(frames, farms, keys, st.integers(0, 255))
def test_another_version_is_told_apart(frame: Frame, farm: str, key: bytes, version: int) -> None:
    assume(version != VERSION)
    datagram = bytearray(seal(frame, farm, Keyring([key])))
    datagram[VERSION_OFFSET] = version
    assert judged(bytes(datagram), farm, Keyring([key])) is OtherVersion


@given(frames, farms, keys, st.lists(keys, min_size=1, max_size=3))
def test_other_keys_do_not_unseal(frame: Frame, farm: str, key: bytes, others: list[bytes]) -> None:
    assume(key not in others)
    assert judged(seal(frame, farm, Keyring([key])), farm, Keyring(others)) is Forged


@given(st.binary(max_size=200), st.sampled_from([b"", b"FRMD", b"FRMD\x01"]), keys)
def test_bytes_that_nobody_sealed_are_a_remote_error(content: bytes, prefix: bytes, key: bytes) -> None:
    with pytest.raises(RemoteError):
        unseal(prefix + content, "web", Keyring([key]))


@given(frames, st.permutations(range(4)), st.permutations(range(4)), st.permutations(range(4)))
def test_a_rotation_interrupts_no_pair_of_nodes_in_whatever_order_they_reload(
    frame: Frame, first: list[int], second: list[int], third: list[int]
) -> None:
    old, new = b"o" * 32, b"n" * 32
    nodes = [Keyring([old])] * 4
    for order, key_list in ((first, [old, new]), (second, [new, old]), (third, [new])):
        for reloading in order:
            nodes[reloading] = Keyring(key_list)
            for sender in nodes:
                for receiver in nodes:
                    assert unseal(seal(frame, "web", sender), "web", receiver) == frame
    with contextlib.suppress(Forged):
        unseal(seal(frame, "web", Keyring([old])), "web", nodes[0])
        raise AssertionError("the old key is still accepted after the rotation")
