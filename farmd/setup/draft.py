"""A farm's first configuration: what init was told, checked by the loader's own rules, and the text that it becomes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from farmd import config_rules
from farmd.config import Config
from farmd.kit import toml
from farmd.setup.tables import NodeDraft, Watched, Words, commented, node, parsed, string, strings, supervised

_WORDS = Words("farmd", "own nothing until it passes again")


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

    @property
    def unit(self) -> str:
        """The systemd unit that runs it."""
        return f"farmd@{self.name}"

    @property
    def at_last(self) -> tuple[str, ...]:
        """What is left to do once every node has started."""
        return ()

    def check(self) -> None:
        """Raises ConfigError for what the loader would refuse, but that the key's file is there."""
        config_rules.check(toml.read(parsed(self._tables()), Config, {bytes: lambda value, key: b"any"}))

    def with_answer(self, **answer: object) -> Draft:
        """The draft with one part replaced; raises ConfigError if that makes it wrong."""
        changed = dataclasses.replace(self, **answer)  # type: ignore[arg-type]
        changed.check()
        return changed

    def text(self) -> str:
        """The configuration file, of a draft that is right."""
        return _HEAD.format(farm=self.name) + self._tables()

    def _tables(self) -> str:
        weight = commented("# weight = 100", "its share of the clients, relative to the other nodes")
        nodes = [f"{node(number, draft)}{weight}\n" for number, draft in enumerate(self.nodes, start=1)]
        return "\n".join([self._farm(), *nodes, *supervised(self.services, self.checks, _WORDS)])

    def _farm(self) -> str:
        return f"""[farm]
name = {string(self.name)}
{commented(f"vips = {strings(self.vips)}", "what clients connect to; every node carries all of them")}
{commented(f"interface = {string(self.interface)}", "where clients come in, the same on every node")}
{commented(f"keys = [{string('@' + self.key)}]", "a file that only root can read")}
{commented('# quorum = "majority"', "a side of a split farm with half of the nodes or fewer fences itself")}
{commented('# witness = ["192.0.2.1"]', "and one that does not reach this address outside of the farm")}
{commented("# drain_timeout_s = 60", "how long a planned stop waits for running connections")}
{commented("# drain_ahead_s = 0", "how long the health page says so before")}
"""


_HEAD = """# The farm {farm}: the same file on every node, and the same key.
#
#   farmctl check-config --here FILE
#   systemctl enable --now farmd@{farm} farm-health
#
# A line that begins with "# " and a key shows the key's default, or an example. README explains them all.

"""
