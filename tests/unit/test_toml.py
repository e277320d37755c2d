"""The schema reader: what each type accepts, and the key path and sentence of each fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Literal

import pytest

from farmd.errors import ConfigError
from farmd.kit import toml
from farmd.kit.toml import Address


@dataclass(frozen=True)
class Wheel:
    size: int


@dataclass(frozen=True)
class Car:
    name: str = "unnamed"
    doors: int = 4
    length_m: float = 4.5
    electric: bool = False
    colour: Literal["red", "blue"] = "red"
    addresses: tuple[Address, ...] = ()
    wheels: tuple[Wheel, ...] = field(default=(), metadata={"key": "wheel"})
    spare: Wheel = Wheel(17)
    owners: Mapping[str, str] = field(default_factory=dict)
    home: Address | None = None


def fault(table: dict[str, Any], into: type = Car) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        toml.read(table, into)
    return caught.value


def test_every_type_is_read() -> None:
    table = {
        "name": "x",
        "doors": 2,
        "length_m": 3,
        "electric": True,
        "colour": "blue",
        "addresses": ["10.0.0.1", "fd00::1"],
        "wheel": [{"size": 15}, {"size": 16}],
        "spare": {"size": 14},
        "owners": {"first": "me", "second": "you"},
        "home": "10.0.0.9",
    }
    addresses = (IPv4Address("10.0.0.1"), IPv6Address("fd00::1"))
    wheels = (Wheel(15), Wheel(16))
    owners, home = {"first": "me", "second": "you"}, IPv4Address("10.0.0.9")
    assert toml.read(table, Car) == Car("x", 2, 3.0, True, "blue", addresses, wheels, Wheel(14), owners, home)


def test_what_is_left_out_has_its_default() -> None:
    assert toml.read({}, Car) == Car()


def test_an_integer_becomes_the_float_it_is_read_as() -> None:
    assert isinstance(toml.read({"length_m": 3}, Car).length_m, float)


@pytest.mark.parametrize(
    ("table", "key", "sentence"),
    [
        ({"name": 1}, "name", "must be a string, not an integer"),
        ({"doors": True}, "doors", "must be an integer, not a boolean"),
        ({"doors": 2.0}, "doors", "must be an integer, not a float"),
        ({"doors": "2"}, "doors", "must be an integer, not a string"),
        ({"length_m": True}, "length_m", "must be a number, not a boolean"),
        ({"length_m": float("nan")}, "length_m", "must be a finite number"),
        ({"length_m": float("inf")}, "length_m", "must be a finite number"),
        ({"length_m": 10**400}, "length_m", "must be a finite number"),
        ({"electric": 1}, "electric", "must be true or false, not an integer"),
        ({"colour": "green"}, "colour", "must be one of red, blue, not 'green'"),
        ({"colour": ["red"]}, "colour", "must be a string, not an array"),
        ({"addresses": "10.0.0.1"}, "addresses", "must be an array, not a string"),
        ({"addresses": ["10.0.0.1", 7]}, "addresses[1]", "must be a string, not an integer"),
        ({"owners": []}, "owners", "must be a table, not an array"),
        ({"owners": {"first": "me", "the second": 2}}, "owners.'the second'", "must be a string, not an integer"),
        ({"home": "nowhere"}, "home", "must be an IPv4 or IPv6 address, not 'nowhere'"),
        ({"home": False}, "home", "must be a string, not a boolean"),
        ({"addresses": ["nowhere"]}, "addresses[0]", "must be an IPv4 or IPv6 address, not 'nowhere'"),
        ({"wheel": [{"size": 15}, {"size": "16"}]}, "wheel[1].size", "must be an integer, not a string"),
        ({"wheel": {"size": 15}}, "wheel", "must be an array, not a table"),
        ({"wheel": [{}]}, "wheel[0].size", "is missing"),
        ({"spare": 17}, "spare", "must be a table, not an integer"),
        ({"wheels": []}, "wheels", "is not a known key; did you mean wheel?"),
        ({"spare": {"size": 14, "sise": 14}}, "spare.sise", "is not a known key; did you mean size?"),
        ({"spare": {"zzz": 14}}, "spare.zzz", "is not a known key; known here are size"),
        ({"my name": "x"}, "'my name'", "is not a known key; did you mean name?"),
    ],
)
def test_a_fault_names_its_key_and_says_one_sentence(table: dict[str, Any], key: str, sentence: str) -> None:
    error = fault(table)
    assert (error.key, error.sentence) == (key, sentence)
    assert str(error) == f"{key}: {sentence}"


def test_an_address_has_no_prefix_length() -> None:
    assert "without a prefix length, such as '10.0.0.1'" in fault({"addresses": ["10.0.0.1/24"]}).sentence


def test_an_address_has_no_zone() -> None:
    assert "without a zone" in fault({"addresses": ["fe80::1%eth0"]}).sentence


def test_a_date_is_called_a_date() -> None:
    table = toml._parse_bytes(b"name = 2026-01-01", "file")
    assert fault(table).sentence == "must be a string, not a date or time"


def test_a_reader_of_the_callers_reads_its_type() -> None:
    @dataclass(frozen=True)
    class Safe:
        codes: tuple[bytes, ...]

    def reader(value: object, key: str) -> bytes:
        return f"{key}={value}".encode()

    # Local classes are invisible to string annotations, hence the schema's real types.
    Safe.__annotations__["codes"] = tuple[bytes, ...]
    assert toml.read({"codes": ["x", 3]}, Safe, {bytes: reader}) == Safe((b"codes[0]=x", b"codes[1]=3"))


def test_a_schema_type_without_reader_is_our_bug() -> None:
    @dataclass(frozen=True)
    class Wrong:
        value: complex

    Wrong.__annotations__["value"] = complex
    with pytest.raises(TypeError, match=r"value: .*complex"):
        toml.read({"value": 1}, Wrong)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[farm\nname = 1\n", "is not valid TOML: .*at line 1, column 6"),
        (b"a = 1\n\nb = = 2\n", "is not valid TOML: .*at line 3, column 5"),
        (b'a = 1\nb = """', "is not valid TOML: .*at line 2, the end of the file"),
        (b"a = 1\nb = '\xff'\n", r"is not valid TOML: not UTF-8 text \(at line 2\)"),
        (b"a = " + b"[" * 5000, "is not valid TOML: arrays or tables are nested too deeply"),
        (b"a = " + b"1" * 5000, "is not valid TOML: "),
        (b"#" * (toml.FILE_BYTES_MAX + 1), "is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_not_toml_is_refused_with_the_line(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "car.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=sentence) as caught:
        toml.parse(path)
    assert caught.value.key == str(path)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("absent.toml", "there is no such file"), (".", "cannot be read: Is a directory"), ("a\0b", "cannot be read: ")],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        toml.parse(tmp_path / name)
