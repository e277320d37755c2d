"""A mirror's first configuration, likewise (draft.py)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from farmd.kit import toml
from farmd.kit.cluster_rules import check_nodes
from farmd.setup.tables import NodeDraft, Watched, Words, commented, node, parsed, string, strings, supervised
from mirrord import config_rules
from mirrord.config import Config

_WORDS = Words("mirrord, where it serves", "the other node takes over, if it can")


@dataclass(frozen=True, slots=True)
class MirrorDraft:
    """What a configuration is made of; no more than what differs between mirrors."""

    name: str
    directories: tuple[str, ...]
    vips: tuple[str, ...]
    interface: str
    witness: tuple[str, ...]
    key: str
    """The path of the file with the mirror's key."""
    nodes: tuple[NodeDraft, ...]
    services: tuple[Watched, ...] = ()
    checks: tuple[Watched, ...] = ()

    @property
    def unit(self) -> str:
        """The systemd unit that runs it."""
        return f"mirrord@{self.name}"

    @property
    def at_last(self) -> tuple[str, ...]:
        """What is left to do once both nodes have started."""
        return ("farmctl promote    # once, on the node that has the data",)

    def check(self) -> None:
        """Raises ConfigError for what the loader would refuse, but that the key's file is there."""
        config_rules.check(self._config())

    def with_answer(self, **answer: object) -> MirrorDraft:
        """The draft with one part replaced; raises ConfigError if that makes it wrong, but that the second node may be
        missing.
        """
        changed = dataclasses.replace(self, **answer)  # type: ignore[arg-type]
        if len(changed.nodes) == 1:
            check_nodes(changed._config().nodes)
        else:
            changed.check()
        return changed

    def text(self) -> str:
        """The configuration file, of a draft that is right."""
        return _HEAD.format(mirror=self.name) + self._tables()

    def _config(self) -> Config:
        readers: dict[object, toml.Reader] = {
            bytes: lambda value, key: b"any",
            Path: lambda value, key: Path(str(value)),
        }
        return toml.read(parsed(self._tables()), Config, readers)

    def _tables(self) -> str:
        nodes = [node(number, draft) for number, draft in enumerate(self.nodes, start=1)]
        return "\n".join([self._mirror(), *nodes, *supervised(self.services, self.checks, _WORDS)])

    def _mirror(self) -> str:
        vips = f"vips = {strings(self.vips)}" if self.vips else '# vips = ["192.0.2.100"]'
        interface = f"interface = {string(self.interface)}" if self.interface else '# interface = "eth0"'
        witness = f"witness = {strings(self.witness)}" if self.witness else '# witness = ["192.0.2.1"]'
        return f"""[mirror]
name = {string(self.name)}
{commented(f"directories = {strings(self.directories)}", "replicated; empty on the node without the data")}
{commented(vips, "what clients connect to; they lead to the node that serves")}
{commented(interface, "where clients come in, the same on both nodes")}
{commented('# vip_mode = "vmac"', 'or "alias", announced by ARP, where the network must not flood')}
{commented(witness, "such as the router: who hears nobody, and not even it, does not serve")}
{commented(f"keys = [{string('@' + self.key)}]", "a file that only root can read")}
{commented('# ack = "applied"', 'or "disk": every write waits for both disks')}
{commented('# prefer = "NAME"', "the node that shall serve when both can")}
{commented("# port = 5408", "each mirror on a machine needs one of its own")}
"""


_HEAD = """# The mirror {mirror}: the same file on both nodes, and the same key.
#
#   farmctl check-config --here FILE
#   systemctl enable --now mirrord@{mirror} farm-health
#   farmctl promote        once, on the node that has the data
#
# A line that begins with "# " and a key shows the key's default, or an example. README explains them all.

"""
