"""What a configuration must satisfy beyond the types of its values: one function a subject, one sentence a rule.

What a mirror's configuration must satisfy, too, is in `kit.cluster_rules`.
"""

from __future__ import annotations

from farmd.config import Config, Farm, Node, Rule
from farmd.errors import ConfigError
from farmd.kit.cluster_rules import (
    check_apart,
    check_keys,
    check_name,
    check_nodes,
    check_timing,
    check_vips,
    check_witness,
)
from farmd.kit.rules import check_interface, check_port, check_range
from farmd.supervision import rules as supervision_rules

NODES_MAX = 32
"""Each of them still owns 32 of the 1024 buckets, so that shares stay fine; Microsoft's NLB ends here too."""


def check(config: Config) -> None:
    """Raise ConfigError for the first rule that the configuration breaks."""
    _check_farm(config.farm)
    _check_nodes(config.nodes)
    check_apart("farm", config.nodes, config.farm.vips, config.farm.witness)
    _check_rules(config.rules)
    check_timing(config.timing)
    supervision_rules.check(config.services, config.checks)


def _check_farm(farm: Farm) -> None:
    check_name("farm.name", farm.name)
    check_interface("farm.interface", farm.interface)
    if not farm.vips:
        raise ConfigError("farm.vips", "must hold at least one virtual address")
    check_vips("farm.vips", farm.vips)
    check_keys("farm.keys", farm.keys)
    check_port("farm.port", farm.port)
    check_witness("farm.witness", farm.witness)
    check_range("farm.drain_timeout_s", farm.drain_timeout_s, 0, 86400, "seconds")
    check_range("farm.drain_ahead_s", farm.drain_ahead_s, 0, 3600, "seconds")


def _check_nodes(nodes: tuple[Node, ...]) -> None:
    if not 1 <= len(nodes) <= NODES_MAX:
        raise ConfigError("node", f"there must be 1 to {NODES_MAX} nodes, not {len(nodes)}")
    check_nodes(nodes)
    for index, node in enumerate(nodes):
        if not 0 <= node.weight <= 1000:
            raise ConfigError(f"node[{index}].weight", f"must be 0 to 1000, not {node.weight}")


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
