"""Read a TOML file into frozen dataclasses; every fault is a ConfigError that names the exact key.

The dataclass is the schema: its fields are the keys, their types what the keys accept, their defaults what may be left
out. A field whose key has another name carries it in its metadata: `field(metadata={"key": "node"})`.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import ipaddress
import operator
import re
import sys
import tomllib
import typing
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Literal, TypeVar

from farmd.errors import ConfigError

Address = IPv4Address | IPv6Address
"""An IP address of either family."""

Reader = Callable[[object, str], object]
"""Turns the TOML value at a key path into a field's value, or raises ConfigError with that path."""

FILE_BYTES_MAX = 1 << 20
"""A larger file is no configuration; the limit keeps a path such as /dev/zero from filling the memory."""

T = TypeVar("T")


def parse(path: Path) -> dict[str, Any]:
    """The file's content as a TOML table.

    Raises ConfigError, whose key is the file's path, when it cannot be read or is not TOML; then with the line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(str(path), "there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(str(path), f"cannot be read: {reason}") from None
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(str(path), f"is larger than {FILE_BYTES_MAX} bytes, the most a configuration may have")
    return _parse_bytes(content, str(path))


def _parse_bytes(content: bytes, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, f"is not valid TOML: not UTF-8 text (at line {line})") from None
    except RecursionError:
        raise ConfigError(path, "is not valid TOML: arrays or tables are nested too deeply") from None
    except ValueError as error:
        last_line = content.count(b"\n") + 1
        reason = str(error).replace("at end of document", f"at line {last_line}, the end of the file")
        raise ConfigError(path, f"is not valid TOML: {reason}") from None


def read(table: object, into: type[T], readers: Mapping[Any, Reader] | None = None, key: str = "") -> T:
    """The table as an instance of the dataclass `into`.

    readers: how to read types that this module does not know, or knows otherwise.
    key: the table's own key path; empty for the whole file.
    """
    value = _read(table, into, key, {**_READERS, **(readers or {})})
    assert isinstance(value, into)
    return value


def _read(value: object, kind: Any, key: str, readers: Mapping[Any, Reader]) -> object:
    if kind in readers:
        return readers[kind](value, key)
    if dataclasses.is_dataclass(kind):
        return _read_table(value, kind, key, readers)
    if typing.get_origin(kind) is tuple:
        return _read_array(value, kind, key, readers)
    if typing.get_origin(kind) is Mapping:
        return _read_mapping(value, kind, key, readers)
    if typing.get_origin(kind) is Literal:
        return _read_choice(value, typing.get_args(kind), key)
    if type(None) in typing.get_args(kind):  # what may be left out, and is something else than None if it is there
        present = (each for each in typing.get_args(kind) if each is not type(None))
        return _read(value, functools.reduce(operator.or_, present), key, readers)
    raise TypeError(f"{key}: the schema has a type without a reader, {kind}")


def _read_table(value: object, kind: Any, key: str, readers: Mapping[Any, Reader]) -> object:
    if not isinstance(value, dict):
        raise _mistyped("a table", value, key)
    fields = {field.metadata.get("key", field.name): field for field in dataclasses.fields(kind)}
    for name in value:
        if name not in fields:
            raise ConfigError(_join(key, name), _unknown(name, list(fields)))
    types = typing.get_type_hints(kind)
    arguments = {}
    for name, field in fields.items():
        if name in value:
            arguments[field.name] = _read(value[name], types[field.name], _join(key, name), readers)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(_join(key, name), "is missing")
    return kind(**arguments)


def _read_array(value: object, kind: Any, key: str, readers: Mapping[Any, Reader]) -> object:
    element, ellipsis = typing.get_args(kind)
    assert ellipsis is ..., "a TOML array has any length"
    if not isinstance(value, list):
        raise _mistyped("an array", value, key)
    return tuple(_read(item, element, f"{key}[{index}]", readers) for index, item in enumerate(value))


def _read_mapping(value: object, kind: Any, key: str, readers: Mapping[Any, Reader]) -> object:
    _, element = typing.get_args(kind)
    if not isinstance(value, dict):
        raise _mistyped("a table", value, key)
    return {name: _read(item, element, _join(key, name), readers) for name, item in value.items()}


def _read_choice(value: object, choices: tuple[str, ...], key: str) -> object:
    if not isinstance(value, str):
        raise _mistyped("a string", value, key)
    if value not in choices:
        raise ConfigError(key, f"must be one of {', '.join(choices)}, not {value!r}")
    return value


def _read_string(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise _mistyped("a string", value, key)
    return value


def _read_boolean(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise _mistyped("true or false", value, key)
    return value


def _read_integer(value: object, key: str) -> int:
    # Python's bool is an int; TOML's is not.
    if not isinstance(value, int) or isinstance(value, bool):
        raise _mistyped("an integer", value, key)
    return value


def _read_number(value: object, key: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _mistyped("a number", value, key)
    # False for nan and for infinities, and exact for integers that no float can hold.
    if not -sys.float_info.max <= value <= sys.float_info.max:
        raise ConfigError(key, "must be a finite number")
    return float(value)


def _read_address(value: object, key: str) -> Address:
    text = _read_string(value, key)
    address, slash, _ = text.partition("/")
    if slash:
        raise ConfigError(key, f"must be an IP address without a prefix length, such as {address!r}")
    if "%" in text:
        raise ConfigError(key, "must be an IP address without a zone, since interfaces differ between machines")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ConfigError(key, f"must be an IPv4 or IPv6 address, not {text!r}") from None


_READERS: dict[Any, Reader] = {
    str: _read_string,
    bool: _read_boolean,
    int: _read_integer,
    float: _read_number,
    Address: _read_address,
}

_TOML_NAMES = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
}


def _mistyped(expected: str, value: object, key: str) -> ConfigError:
    # The value itself is not shown: it may be a secret under the wrong key.
    return ConfigError(key or "file", f"must be {expected}, not {_TOML_NAMES.get(type(value), 'a date or time')}")


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"is not a known key; did you mean {close[0]}?"
    return f"is not a known key; known here are {', '.join(known)}"


def _join(key: str, name: str) -> str:
    bare = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else repr(name)
    return f"{key}.{bare}" if key else bare
