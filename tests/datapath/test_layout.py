"""What Python reads from the C side, and what the loader says where it cannot work. No root needed."""

from __future__ import annotations

import ctypes
import re
from ipaddress import ip_address

import pytest

from bpf import layout, loader, vips


def test_numbers_and_enums_are_those_of_farm_h() -> None:
    assert layout.number("BUCKETS") == 1024
    assert layout.number("VIP_SET_FACTOR") == 2654435769
    assert layout.enum("bucket_state") == {"OTHER": 0, "OWNED": 1, "DRAINING": 2, "FILLING": 3}
    assert layout.enum("affinity") == {"CLIENT": 0, "NETWORK": 1, "CONNECTION": 2}
    with pytest.raises(KeyError):
        layout.number("NO_SUCH_LIMIT")


def test_a_description_becomes_a_class() -> None:
    inner = ["address", [["word", "unsigned int", [4]]], "struct_packed"]
    described = ["vip", [["address", inner], ["port", "unsigned short"], ["name", "char", [6]]], "struct_packed"]
    value = layout.layouts({"vips": {"key": "unsigned int", "value": described}})["vips"].value
    assert ctypes.sizeof(value) == 24
    one = value.from_buffer_copy(bytes(range(1, 17)) + b"\x50\x00" + b"web\0\0\0")
    assert (list(one.address.word)[:1], one.port, one.name) == ([0x04030201], 0x50, b"web")


def test_an_address_prints_as_people_write_it() -> None:
    for text in ("10.0.0.100", "fd00::100"):
        assert str(vips.words(ip_address(text))) == text


def test_the_digest_is_of_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    before = layout.source_digest()
    layout.source_digest.cache_clear()
    monkeypatch.setattr(layout, "SOURCES", ("farm.h",))
    assert layout.source_digest() != before
    layout.source_digest.cache_clear()


def test_a_kernel_that_is_too_old() -> None:
    loader.check_kernel("5.11.0")
    loader.check_kernel("6.1.0-18-amd64")
    with pytest.raises(loader.RefusedError, match=re.escape("needs Linux 5.11 or newer, and 5.10.0-8 is running")):
        loader.check_kernel("5.10.0-8")
