"""A first configuration: what init was told, checked by the loader's own rules, and the text that it becomes."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from farmd import config_rules
from farmd.config import Config
from farmd.errors import ConfigError
from farmd.kit import toml

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
class Draft:
    """What a configuration is made of; no more than what differs between farms."""

    name: str
    vips: tuple[str, ...]
    interface: str
    key: str
    """The path of the file with the farm's key."""
    nodes: tuple[NodeDraft, ...]
    services: tuple[Watched, ...] = ()
    checks: tuple[Watched, ...] = ()

    def check(self) -> None:
        """Raises ConfigError for what the loader would refuse, but that the key's file is there."""
        try:
            tables = tomllib.loads(self._tables().encode().decode())
        except UnicodeEncodeError:
            raise ConfigError("the configuration", "cannot hold what is not UTF-8 text") from None
        config_rules.check(toml.read(tables, Config, {bytes: lambda value, key: b"any"}))

    def with_answer(self, **answer: object) -> Draft:
        """The draft with one part replaced; raises ConfigError if that makes it wrong."""
        changed = dataclasses.replace(self, **answer)  # type: ignore[arg-type]
        changed.check()
        return changed

    def text(self) -> str:
        """The configuration file, of a draft that is right."""
        return _HEAD.format(farm=self.name) + self._tables()

    def _tables(self) -> str:
        parts = [self._farm()]
        parts += [_node(number, node) for number, node in enumerate(self.nodes, start=1)]
        parts += [_service(service) for service in self.services] or [_SERVICE_EXAMPLE]
        parts += list(self._checks()) or [_CHECK_EXAMPLE]
        return "\n".join(parts)

    def _farm(self) -> str:
        return f"""[farm]
name = {_string(self.name)}
{_commented(f"vips = {_strings(self.vips)}", "what clients connect to; every node carries all of them")}
{_commented(f"interface = {_string(self.interface)}", "where clients come in, the same on every node")}
{_commented(f"keys = [{_string('@' + self.key)}]", "a file that only root can read")}
{_commented('# quorum = "majority"', "a side of a split farm with half of the nodes or fewer fences itself")}
{_commented('# witness = ["192.0.2.1"]', "and one that does not reach this address outside of the farm")}
{_commented("# drain_timeout_s = 60", "how long a planned stop waits for running connections")}
{_commented("# drain_ahead_s = 0", "how long the health page says so before")}
"""

    def _checks(self) -> Iterator[str]:
        kinds: list[str] = []
        for check in self.checks:
            kinds.append(check.kind)
            number = kinds.count(check.kind)
            yield _check(check, check.kind if number == 1 else f"{check.kind}-{number}")


def _node(number: int, node: NodeDraft) -> str:
    return f"""[[node]]
id = {number}
name = {_string(node.name)}
{_commented(f"addresses = {_strings(node.addresses)}", "its own; one for each heartbeat network")}
{_commented("# weight = 100", "its share of the clients, relative to the other nodes")}
"""


def _service(service: Watched) -> str:
    what = f"{service.kind} = {_string(service.value)}"
    parameters = "# params = { }\n" if service.kind == "ocf" else ""
    return f"""[[service]]
{_commented(what, "started, watched, restarted and stopped by farmd")}
{parameters}# on_failure = "restart"
# max_restarts = 3
"""


def _check(check: Watched, name: str) -> str:
    value = _strings([one.strip() for one in check.value.split(",")]) if check.kind == "ping" else _string(check.value)
    return f"""[[check]]
name = {_string(name)}
{check.kind} = {value}
# interval_s = 1
{_commented('# on_failure = "release"', "own nothing until it passes again; or restart, or stop")}
"""


_HEAD = """# The farm {farm}: the same file on every node, and the same key.
#
#   farmctl check-config --here FILE
#   systemctl enable --now farmd@{farm} farm-health
#
# A line that begins with "# " and a key shows the key's default, or an example. README explains them all.

"""

_SERVICE_EXAMPLE = """# [[service]]
# unit = "nginx.service"
"""

_CHECK_EXAMPLE = """# [[check]]
# name = "http"
# http = "http://127.0.0.1/"
"""


def _commented(line: str, comment: str) -> str:
    return f"{line:34}  # {comment}"


def _strings(values: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join(map(_string, values)) + "]"


def _string(value: str) -> str:
    """A basic string of TOML, which is JSON's but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
