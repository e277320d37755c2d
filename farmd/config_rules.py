"""What a configuration must satisfy beyond the types of its values: one function a subject, one sentence a rule."""

from __future__ import annotations

import re
from collections.abc import Iterable

from farmd.config import Config, Farm, Node, Rule, Timing
from farmd.errors import ConfigError
from farmd.kit.rules import check_distinct, check_host, check_interface, check_port, check_range
from farmd.kit.toml import Address
from farmd.supervision import rules as supervision_rules

NODES_MAX = 32
"""Each of them still owns 32 of the 1024 buckets, so that shares stay fine; Microsoft's NLB ends here too."""

KEYS_MAX = 8
"""Every forged datagram costs one MAC a key; a rotation needs two keys."""

SECONDS_MAX = 60
"""A farm that notices a failure later than that is no high availability."""

_FARM_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_NODE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


def check(config: Config) -> None:
    """Raise ConfigError for the first rule that the configuration breaks."""
    _check_farm(config.farm)
    _check_nodes(config.nodes)
    _check_apart(config)
    _check_rules(config.rules)
    _check_timing(config.timing)
    supervision_rules.check(config.services, config.checks)


def _check_farm(farm: Farm) -> None:
    if not _FARM_NAME.fullmatch(farm.name):
        raise ConfigError("farm.name", "must be 1 to 32 lower-case letters, digits and, not first, hyphens")
    check_interface("farm.interface", farm.interface)
    _check_vips(farm.vips)
    if not 1 <= len(farm.keys) <= KEYS_MAX:
        raise ConfigError("farm.keys", f"must be 1 to {KEYS_MAX} secrets")
    check_distinct((f"farm.keys[{index}]", key) for index, key in enumerate(farm.keys))
    check_port("farm.port", farm.port)
    for key, address in _enumerate("farm.witness", farm.witness):
        check_host(key, address)
    check_distinct(_enumerate("farm.witness", farm.witness))
    check_range("farm.drain_timeout_s", farm.drain_timeout_s, 0, 86400, "seconds")
    check_range("farm.drain_ahead_s", farm.drain_ahead_s, 0, 3600, "seconds")


def _check_vips(vips: tuple[Address, ...]) -> None:
    if not vips:
        raise ConfigError("farm.vips", "must hold at least one virtual address")
    for key, vip in _enumerate("farm.vips", vips):
        check_host(key, vip)
        if vip.is_loopback:
            raise ConfigError(key, f"{vip} is a loopback address, which no client can reach")
        if vip.is_link_local:
            raise ConfigError(key, f"{vip} is a link-local address, which no router forwards")
    check_distinct(_enumerate("farm.vips", vips))


def _check_nodes(nodes: tuple[Node, ...]) -> None:
    if not 1 <= len(nodes) <= NODES_MAX:
        raise ConfigError("node", f"there must be 1 to {NODES_MAX} nodes, not {len(nodes)}")
    for index, node in enumerate(nodes):
        _check_node(f"node[{index}]", node)
        _check_networks(f"node[{index}].addresses", node, nodes[0])
    check_distinct((f"node[{index}].id", node.id) for index, node in enumerate(nodes))
    check_distinct((f"node[{index}].name", node.name) for index, node in enumerate(nodes))
    check_distinct(
        (key, address)
        for index, node in enumerate(nodes)
        for key, address in _enumerate(f"node[{index}].addresses", node.addresses)
    )


def _check_node(key: str, node: Node) -> None:
    if not 1 <= node.id <= 255:
        raise ConfigError(f"{key}.id", f"must be 1 to 255, not {node.id}")
    if not _NODE_NAME.fullmatch(node.name):
        raise ConfigError(f"{key}.name", "must be 1 to 63 letters, digits and, inside, hyphens and dots")
    if not 0 <= node.weight <= 1000:
        raise ConfigError(f"{key}.weight", f"must be 0 to 1000, not {node.weight}")
    if not node.addresses:
        raise ConfigError(f"{key}.addresses", "must hold at least one address")
    for address_key, address in _enumerate(f"{key}.addresses", node.addresses):
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
    for (address_key, address), other in zip(_enumerate(key, node.addresses), first.addresses, strict=True):
        if address.version != other.version:
            raise ConfigError(
                address_key,
                f"{address} is of another family than {other}, node {first.name}'s address on the same network",
            )


def _check_apart(config: Config) -> None:
    """Virtual addresses, nodes and witnesses are different hosts."""
    owners = {address: node.name for node in config.nodes for address in node.addresses}
    for key, vip in _enumerate("farm.vips", config.farm.vips):
        if vip in owners:
            raise ConfigError(key, f"{vip} is node {owners[vip]}'s own address; a virtual address belongs to no node")
    for key, witness in _enumerate("farm.witness", config.farm.witness):
        if witness in owners:
            raise ConfigError(key, f"{witness} is node {owners[witness]}'s address; a witness is outside of the farm")
        if witness in config.farm.vips:
            raise ConfigError(key, f"{witness} is a virtual address, which every node would reach in itself")


def _check_rules(rules: tuple[Rule, ...]) -> None:
    seen: dict[tuple[str, int], str] = {}
    for index, rule in enumerate(rules):
        if not rule.ports:
            raise ConfigError(f"rule[{index}].ports", "must hold at least one port")
        for position, port in enumerate(rule.ports):
            key = f"rule[{index}].ports[{position}]"
            check_port(key, port)
            if (rule.protocol, port) in seen:
                raise ConfigError(key, f"{rule.protocol} port {port} is already in {seen[rule.protocol, port]}")
            seen[rule.protocol, port] = f"rule[{index}]"


def _check_timing(timing: Timing) -> None:
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


def _enumerate(key: str, addresses: tuple[Address, ...]) -> Iterable[tuple[str, Address]]:
    return [(f"{key}[{index}]", address) for index, address in enumerate(addresses)]
