"""What a first configuration of a farm and that of a mirror have in common: nodes, services and checks, and how values
are written.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from farmd.errors import ConfigError

SERVICE_KINDS = ("unit", "ocf")
"""What `--service` can say in one word; a service that is a pair of commands is written into the file."""

CHECK_KINDS = ("tcp", "http", "exec", "process", "ping", "interface")


@dataclass(frozen=True, slots=True)
class NodeDraft:
    """A [[node]]."""

    name: str
    addresses: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> NodeDraft:
        """From NAME=ADDR[,ADDR...]; ConfigError if it is not of this form."""
        name, equals, addresses = text.partition("=")
        if not equals:
            raise ConfigError("node", f"{text!r} must have the form NAME=ADDRESS, such as n1=10.0.0.1")
        return cls(name.strip(), tuple(address.strip() for address in addresses.split(",")))


@dataclass(frozen=True, slots=True)
class Watched:
    """A [[service]] or a [[check]]: a kind and its value."""

    kind: str
    value: str

    @classmethod
    def service(cls, text: str) -> Watched:
        """From KIND=VALUE; ConfigError if it is none."""
        return cls._parse("service", text, SERVICE_KINDS, "unit=nginx.service")

    @classmethod
    def check(cls, text: str) -> Watched:
        """From KIND=VALUE; ConfigError if it is none."""
        return cls._parse("check", text, CHECK_KINDS, "http=http://127.0.0.1/")

    @classmethod
    def _parse(cls, key: str, text: str, kinds: tuple[str, ...], example: str) -> Watched:
        kind, equals, value = text.partition("=")
        if not equals or kind.strip() not in kinds:
            raise ConfigError(key, f"{text!r} must have the form KIND=VALUE with one of {', '.join(kinds)}, "
                                   f"such as {example}")  # fmt: skip
        return cls(kind.strip(), value.strip())


@dataclass(frozen=True, slots=True)
class Words:
    """What is different where a farm's and a mirror's file explain the same key."""

    program: str
    """Who looks after services."""
    released: str
    """What a failing check leads to."""


def parsed(text: str) -> dict[str, Any]:
    """The tables of a text of ours; ConfigError if it is not even text."""
    try:
        return tomllib.loads(text.encode().decode())
    except UnicodeEncodeError:
        raise ConfigError("the configuration", "cannot hold what is not UTF-8 text") from None


def node(number: int, draft: NodeDraft) -> str:
    """A [[node]]."""
    return f"""[[node]]
id = {number}
name = {string(draft.name)}
{commented(f"addresses = {strings(draft.addresses)}", "its own; one for each heartbeat network")}
"""


def supervised(services: Sequence[Watched], checks: Sequence[Watched], words: Words) -> Iterator[str]:
    """Every [[service]] and every [[check]], or an example."""
    yield from [_service(service, words) for service in services] or [_SERVICE_EXAMPLE]
    yield from list(_checks(checks, words)) or [_CHECK_EXAMPLE]


def _service(service: Watched, words: Words) -> str:
    what = f"{service.kind} = {string(service.value)}"
    parameters = "# params = { }\n" if service.kind == "ocf" else ""
    return f"""[[service]]
{commented(what, f"started, watched, restarted and stopped by {words.program}")}
{parameters}# on_failure = "restart"
# max_restarts = 3
"""


def _checks(checks: Sequence[Watched], words: Words) -> Iterator[str]:
    kinds: list[str] = []
    for check in checks:
        kinds.append(check.kind)
        number = kinds.count(check.kind)
        yield _check(check, check.kind if number == 1 else f"{check.kind}-{number}", words)


def _check(check: Watched, name: str, words: Words) -> str:
    value = strings([one.strip() for one in check.value.split(",")]) if check.kind == "ping" else string(check.value)
    return f"""[[check]]
name = {string(name)}
{check.kind} = {value}
# interval_s = 1
{commented('# on_failure = "release"', f"{words.released}; or restart, or stop")}
"""


_SERVICE_EXAMPLE = """# [[service]]
# unit = "nginx.service"
"""

_CHECK_EXAMPLE = """# [[check]]
# name = "http"
# http = "http://127.0.0.1/"
"""


def commented(line: str, comment: str) -> str:
    """A line, and what it means."""
    return f"{line:34}  # {comment}"


def strings(values: Sequence[str]) -> str:
    """An array of TOML."""
    return "[" + ", ".join(map(string, values)) + "]"


def string(value: str) -> str:
    """A basic string of TOML, which is JSON's but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
