"""The configuration under any input: every valid one is read as it was meant, everything else is a ConfigError."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import date
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farmd import config_file
from farmd.config import Config, Farm, Node, Rule, Timing
from farmd.errors import ConfigError
from farmd.kit import secret
from farmd.kit.toml import Address


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="farmd-test-") as folder:
        yield Path(folder) / "web.toml"


def rendered(value: Any) -> str:
    """A value in TOML; what JSON writes of strings is TOML as well, once a DEL is escaped."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case IPv4Address() | IPv6Address():
            return f'"{value}"'
        case list() | tuple():
            return "[" + ", ".join(map(rendered, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{rendered(key)} = {rendered(each)}" for key, each in value.items()) + "}"
        case _:
            return str(value)


def document(table: dict[str, Any]) -> bytes:
    return "".join(f"{rendered(key)} = {rendered(value)}\n" for key, value in table.items()).encode()


# Valid configurations, as tables next to what they mean.

secrets = st.text("abcdefghijklmnopqrstuvwxyzäöü 0123456789", min_size=14, max_size=40).map(lambda text: f"k{text}k")
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)


def hosts(count: int, version: int) -> st.SearchStrategy[list[Address]]:
    """Addresses of one family that any host may have; 10/8 and fd00::/16, all different."""
    if version == 4:
        numbers = st.lists(st.integers(1, 2**24 - 2), min_size=count, max_size=count, unique=True)
        return numbers.map(lambda drawn: [IPv4Address((10 << 24) + number) for number in drawn])
    numbers = st.lists(st.integers(1, 2**64), min_size=count, max_size=count, unique=True)
    return numbers.map(lambda drawn: [IPv6Address((0xFD00 << 112) + number) for number in drawn])


@st.composite
def timings(draw: st.DrawFn) -> Timing:
    heartbeat_ms = draw(st.integers(10, 1000))
    transit_ms = draw(st.integers(0, 100))
    lease_ms = draw(st.integers(2 * heartbeat_ms, 20 * heartbeat_ms))
    suspect_ms = lease_ms + 3 * heartbeat_ms + transit_ms + draw(st.integers(0, 1000))
    return Timing(heartbeat_ms / 1000, suspect_ms / 1000, lease_ms / 1000, transit_ms / 1000)


@st.composite
def rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    pairs = draw(st.lists(st.tuples(st.sampled_from(["tcp", "udp"]), st.integers(1, 65535)), max_size=6, unique=True))
    affinity = st.sampled_from(["client", "network", "connection"])
    return tuple(Rule((port,), protocol, draw(affinity)) for protocol, port in pairs)  # type: ignore[arg-type]


@st.composite
def configurations(draw: st.DrawFn) -> tuple[dict[str, Any], Config]:
    """A table, and the Config it stands for."""
    count = draw(st.integers(1, 32))
    families = draw(st.lists(st.sampled_from([4, 6]), min_size=1, max_size=3))
    v4 = draw(hosts(count * families.count(4) + 2, 4))
    v6 = draw(hosts(count * families.count(6) + 2, 6))
    vips, witness = (v4.pop(), v6.pop()), (v4.pop(), v6.pop())
    ids = draw(st.lists(st.integers(1, 255), min_size=count, max_size=count, unique=True))
    nodes = tuple(
        Node(id, f"n{id}", tuple((v4 if family == 4 else v6).pop() for family in families), draw(st.integers(0, 1000)))
        for id in ids
    )
    texts = draw(st.lists(secrets, min_size=1, max_size=8, unique=True))
    farm: dict[str, Any] = {
        "name": draw(names),
        "vips": draw(st.permutations(vips)),
        "interface": draw(st.sampled_from(["eth0", "bond0.7", "enp1s0f0np0"])),
        "keys": texts,
        "port": draw(st.integers(1, 65535)),
        "xdp": draw(st.sampled_from(["auto", "native", "generic", "off"])),
        "quorum": draw(st.sampled_from(["none", "majority"])),
        "witness": draw(st.sampled_from([[], list(witness)])),
        "drain_timeout_s": draw(st.integers(0, 86400)),
    }
    arguments: dict[str, Any] = {
        **farm,
        "vips": tuple(farm["vips"]),
        "witness": tuple(farm["witness"]),
        "keys": tuple(secret.read_key(text, "", Path("/")) for text in texts),
    }
    expected = Config(Farm(**arguments), nodes, draw(rules()), timing=draw(timings()))
    return tabled(expected, farm), expected


def tabled(expected: Config, farm: dict[str, Any]) -> dict[str, Any]:
    return {
        "farm": farm,
        "node": [asdict(node) for node in expected.nodes],
        "rule": [asdict(rule) for rule in expected.rules],
        "timing": asdict(expected.timing),
    }


@given(configurations())
def test_a_valid_configuration_is_read_as_it_was_meant(path: Path, drawn: tuple[dict[str, Any], Config]) -> None:
    table, expected = drawn
    path.write_bytes(document(table))
    assert config_file.load(path) == expected


# Anything else.

scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.dates(date(1, 1, 1)),
    st.sampled_from(
        ["@", "@/", "@.", "@/dev/null", "@a\0b", "::", "10.0.0.1/8", "fe80::1%eth0", "x" * 16, "@/dev/zero"]
    ),
    st.ip_addresses().map(str),
)
known_keys = st.sampled_from(
    [each.metadata.get("key", each.name) for schema in (Config, Farm, Node, Rule, Timing) for each in fields(schema)]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(known_keys | texts, inner, max_size=6),
    max_leaves=15,
)


def refusal(path: Path) -> ConfigError | None:
    try:
        config_file.load(path)
    except ConfigError as error:
        return error
    return None


@given(st.dictionaries(known_keys | texts, values, max_size=6))
def test_any_table_is_read_or_refused_with_a_config_error(path: Path, table: dict[str, Any]) -> None:
    path.write_bytes(document(table))
    refusal(path)


def places(table: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in the table."""
    pairs = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list | tuple) else ()
    return [each for key, value in pairs for each in [(*at, key), *places(value, (*at, key))]]


def replaced(table: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    copy = dict(table) if isinstance(table, dict) else list(table)
    copy[at[0]] = replaced(copy[at[0]], at[1:], value)
    return copy


@given(configurations(), st.data(), values)
def test_one_wrong_value_in_a_valid_table_is_read_or_refused_in_one_line(
    path: Path, drawn: tuple[dict[str, Any], Config], data: st.DataObject, value: Any
) -> None:
    table, _ = drawn
    path.write_bytes(document(replaced(table, data.draw(st.sampled_from(places(table))), value)))
    error = refusal(path)
    if error:
        assert error.key.startswith(("farm", "node", "rule", "timing"))
        assert str(error).isprintable()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_configuration_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert refusal(path)


@given(st.integers(0, 0o777))
def test_a_key_file_is_read_exactly_when_nobody_else_may_use_it(path: Path, mode: int) -> None:
    key_file = path.with_name("web.key")
    key_file.write_text("correct horse battery staple")
    key_file.chmod(mode)
    try:
        readable = os.geteuid() == 0 or bool(mode & 0o400)
        if readable and not mode & 0o077:
            assert len(secret.read_key("@web.key", "k", path.parent)) == 32
        else:
            with pytest.raises(ConfigError):
                secret.read_key("@web.key", "k", path.parent)
    finally:
        key_file.unlink()
