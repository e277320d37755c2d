"""Which node of the configuration this machine is, and the core's view of that configuration."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import TypeVar

from farmd import links
from farmd.config import Config, Node
from farmd.core.settings import Settings
from farmd.errors import MachineError
from farmd.kit import cluster_rules

NS = 1_000_000_000

N = TypeVar("N", bound=cluster_rules.Node)


def find_node(nodes: Sequence[N], name: str | None) -> N:
    """The node of this name, of a farm or a mirror, or the one whose addresses this machine has. Raises MachineError if
    that is not one.
    """
    if name is not None:
        for node in nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in nodes)
        raise MachineError(f"the configuration has no node named {name}; it has {names}")
    own = links.own_addresses()
    here = [node for node in nodes if any(address in own for address in node.addresses)]
    if len(here) != 1:
        which = " and ".join(node.name for node in here) or "none"
        raise MachineError(f"this machine has the addresses of {which} of the configuration's nodes; use --node NAME")
    return here[0]


def incarnation() -> int:
    """Names this run of a daemon: later than every earlier start's, also across a reboot, as long as the clock is not
    set back; and if it is, peers accept any number that is new to them.
    """
    return time.time_ns()


def key_id(key: bytes) -> int:
    """A key's name in a view: tells keys apart and tells nothing about them."""
    return int.from_bytes(hashlib.blake2b(key=key, digest_size=4, person=b"farmd.key-id").digest(), "big")


def hash_key(key: bytes) -> bytes:
    """The filter's 16-byte hash key that is derived from one of the farm's keys."""
    return hashlib.blake2b(key=key, digest_size=16, person=b"farmd.hash").digest()


def settings(config: Config, node: Node) -> Settings:
    """What the core needs to know."""
    timing = config.timing
    return Settings(
        node=node.id,
        weight=node.weight,
        nodes=frozenset(other.id for other in config.nodes),
        heartbeat_ns=round(timing.heartbeat_interval_s * NS),
        suspect_ns=round(timing.suspect_after_s * NS),
        lease_ns=round(timing.lease_s * NS),
        drain_ahead_ns=round(config.farm.drain_ahead_s * NS),
        quorum=config.farm.quorum,
        witness=bool(config.farm.witness),
        hash_key_ids=tuple(key_id(key) for key in config.farm.keys),
        names={other.id: other.name for other in config.nodes},
    )
