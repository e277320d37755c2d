"""Rules that a farm and a mirror share: names, secrets, virtual addresses, nodes and their networks, timing.

One function a subject, one sentence a rule; `table` is the key of the table that the values stand in, such as "farm".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from farmd.errors import ConfigError
from farmd.kit.rules import check_distinct, check_host
from farmd.kit.toml import Address

KEYS_MAX = 8
"""Every forged datagram costs one MAC a key; a rotation needs two keys."""

SECONDS_MAX = 60
"""Who notices a failure later than that is no high availability."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_NODE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


class Node(Protocol):
    """What a node of either is."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def addresses(self) -> tuple[Address, ...]: ...


class Timing(Protocol):
    """How fast a failure is noticed, in seconds."""

    @property
    def heartbeat_interval_s(self) -> float: ...
    @property
    def suspect_after_s(self) -> float: ...
    @property
    def lease_s(self) -> float: ...
    @property
    def transit_s(self) -> float: ...


def check_name(key: str, name: str) -> None:
    """The name of a farm or mirror, which share one name space: it is part of paths and of every heartbeat."""
    if not _NAME.fullmatch(name):
        raise ConfigError(key, "must be 1 to 32 lower-case letters, digits and, not first, hyphens")


def check_keys(key: str, keys: Sequence[bytes]) -> None:
    """The number of secrets, and that they differ."""
    if not 1 <= len(keys) <= KEYS_MAX:
        raise ConfigError(key, f"must be 1 to {KEYS_MAX} secrets")
    check_distinct((f"{key}[{index}]", secret) for index, secret in enumerate(keys))


def check_vips(key: str, vips: Sequence[Address]) -> None:
    """Addresses that a client beyond a router can reach."""
    for vip_key, vip in numbered(key, vips):
        check_host(vip_key, vip)
        if vip.is_loopback:
            raise ConfigError(vip_key, f"{vip} is a loopback address, which no client can reach")
        if vip.is_link_local:
            raise ConfigError(vip_key, f"{vip} is a link-local address, which no router forwards")
    check_distinct(numbered(key, vips))


def check_witness(key: str, witness: Sequence[Address]) -> None:
    """Addresses that can be asked, each once."""
    for witness_key, address in numbered(key, witness):
        check_host(witness_key, address)
    check_distinct(numbered(key, witness))


def check_nodes(nodes: Sequence[Node]) -> None:
    """Every node by itself, and that they differ in what tells them apart."""
    for index, node in enumerate(nodes):
        _check_node(f"node[{index}]", node)
        _check_networks(f"node[{index}].addresses", node, nodes[0])
    check_distinct((f"node[{index}].id", node.id) for index, node in enumerate(nodes))
    check_distinct((f"node[{index}].name", node.name) for index, node in enumerate(nodes))
    check_distinct(
        (key, address)
        for index, node in enumerate(nodes)
        for key, address in numbered(f"node[{index}].addresses", node.addresses)
    )


def _check_node(key: str, node: Node) -> None:
    if not 1 <= node.id <= 255:
        raise ConfigError(f"{key}.id", f"must be 1 to 255, not {node.id}")
    if not _NODE_NAME.fullmatch(node.name):
        raise ConfigError(f"{key}.name", "must be 1 to 63 letters, digits and, inside, hyphens and dots")
    if not node.addresses:
        raise ConfigError(f"{key}.addresses", "must hold at least one address")
    for address_key, address in numbered(f"{key}.addresses", node.addresses):
        check_host(address_key, address)
        if address.version == 6 and address.is_link_local:
            raise ConfigError(address_key, f"{address} is link-local, which without its interface is no destination")


def _check_networks(key: str, node: Node, first: Node) -> None:
    """Addresses at one position belong to one heartbeat network, so nodes agree in their number and families."""
    if len(node.addresses) != len(first.addresses):
        raise ConfigError(
            key,
            f"node {node.name} has {len(node.addresses)} and node {first.name} has {len(first.addresses)}; "
            "every node needs one for each heartbeat network",
        )
    for (address_key, address), other in zip(numbered(key, node.addresses), first.addresses, strict=True):
        if address.version != other.version:
            raise ConfigError(
                address_key,
                f"{address} is of another family than {other}, node {first.name}'s address on the same network",
            )


def check_apart(table: str, nodes: Sequence[Node], vips: Sequence[Address], witness: Sequence[Address]) -> None:
    """Virtual addresses, nodes and witnesses are different hosts."""
    owners = {address: node.name for node in nodes for address in node.addresses}
    for key, vip in numbered(f"{table}.vips", vips):
        if vip in owners:
            raise ConfigError(key, f"{vip} is node {owners[vip]}'s own address; a virtual address belongs to no node")
    for key, address in numbered(f"{table}.witness", witness):
        if address in owners:
            owner = owners[address]
            raise ConfigError(key, f"{address} is node {owner}'s address; a witness is outside of the {table}")
        if address in vips:
            raise ConfigError(key, f"{address} is a virtual address, which every node would reach in itself")


def check_timing(timing: Timing) -> None:
    """Each time by itself, and the rule that keeps two nodes from answering one client."""
    for name in ("heartbeat_interval_s", "suspect_after_s", "lease_s", "transit_s"):
        seconds = getattr(timing, name)
        if not 0 <= seconds <= SECONDS_MAX:
            raise ConfigError(f"timing.{name}", f"must be 0 to {SECONDS_MAX} seconds, not {seconds:g}")
    if timing.heartbeat_interval_s < 0.01:
        raise ConfigError("timing.heartbeat_interval_s", f"must be at least 0.01, not {timing.heartbeat_interval_s:g}")
    _check_at_least("suspect_after_s", timing.suspect_after_s, 4, timing)
    _check_at_least("lease_s", timing.lease_s, 2, timing)
    _check_lease(timing)


def _check_at_least(name: str, seconds: float, heartbeats: int, timing: Timing) -> None:
    least_us = heartbeats * _microseconds(timing.heartbeat_interval_s)
    if _microseconds(seconds) < least_us:
        formula = f"{heartbeats} * heartbeat_interval_s = {least_us / 1e6:g}"
        raise ConfigError(f"timing.{name}", f"must be at least {formula}, not {seconds:g}")


def _check_lease(timing: Timing) -> None:
    """A node's filter closes before any peer may suspect it (see Timing)."""
    most_us = (
        _microseconds(timing.suspect_after_s)
        - 3 * _microseconds(timing.heartbeat_interval_s)
        - _microseconds(timing.transit_s)
    )
    if _microseconds(timing.lease_s) > most_us:
        formula = "suspect_after_s - 3 * heartbeat_interval_s - transit_s"
        numbers = f"{timing.suspect_after_s:g} - 3 * {timing.heartbeat_interval_s:g} - {timing.transit_s:g}"
        raise ConfigError(
            "timing.lease_s",
            f"must be at most {formula} = {numbers} = {most_us / 1e6:g}, not {timing.lease_s:g}, "
            "or a node could still answer clients that another has taken over",
        )


def _microseconds(seconds: float) -> int:
    # In binary fractions 0.26 - 3 * 0.05 - 0.01 is less than 0.1; in whole microseconds it is equal.
    return round(seconds * 1_000_000)


def numbered(key: str, addresses: Sequence[Address]) -> Iterable[tuple[str, Address]]:
    """Every address with its own key."""
    return [(f"{key}[{index}]", address) for index, address in enumerate(addresses)]
