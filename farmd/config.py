"""The configuration: one TOML file, the same on every node of the farm.

The dataclasses are the schema, and the text under each field is its documentation. What a value must satisfy beyond
its type is in `config_rules`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from farmd.errors import ConfigError
from farmd.kit.toml import Address
from farmd.kit.vmac import virtual_mac
from farmd.supervision.schema import Check, Service


@dataclass(frozen=True, slots=True)
class Farm:
    """[farm]: what the nodes are together."""

    name: str
    """Names the control socket and the filter's slot, and is part of every heartbeat.

    1 to 32 characters: lower-case letters, digits and, not first, hyphens.
    """

    vips: tuple[Address, ...]
    """The virtual addresses that clients use, IPv4 and IPv6, at least one; every node carries all of them.

    The first one is part of the vmac, so replacing it changes the vmac and with it what routers have cached.
    """

    interface: str
    """The interface that clients reach us by, such as "eth0"; the filter is attached to it."""

    keys: tuple[bytes, ...] = field(repr=False)
    """The farm's secrets, 1 to 8, each at least 16 characters: "@/path" of a file that only root can read, or the text
    itself. A relative path starts at the configuration's folder.

    Here they are derived keys of 32 bytes. The first one seals what this node sends, any of them is accepted; so a key
    is replaced without an interruption by `[old, new]` on every node, then `[new, old]`, then `[new]`.
    """

    port: int = 5407
    """The UDP port of heartbeats, on every address of every node."""

    xdp: Literal["auto", "native", "generic", "off"] = "auto"
    """Where the filter drops other nodes' packets.

    "native": in the driver, which costs least; "generic": in the kernel, for any driver; "off": in traffic control,
    after the packet has become an skb; "auto": the first of these that the interface can do.
    """

    quorum: Literal["none", "majority"] = "none"
    """Who serves when the farm is split in two.

    "none", because a farm is stateless: each side serves the clients it sees. "majority": only a side with more than
    half of the configured nodes serves, and the others fence themselves; of two nodes, a lone survivor would too.
    Together with `witness` a side must satisfy both, since each of them only ever forbids to serve.
    """

    witness: tuple[Address, ...] = ()
    """Addresses outside of the farm, such as the router's: a side of a split farm that reaches none of them fences
    itself. None by default, because it makes the farm depend on another machine.
    """

    drain_timeout_s: float = 60.0
    """How long a node that leaves waits for its established connections, in seconds, 0 to 86,400.

    A minute ends nearly all requests and keeps a reboot short.
    """

    drain_ahead_s: float = 0.0
    """How long a planned drain or stop is announced on the health page before buckets move, in seconds, 0 to 3600.

    Load balancers that ask every few seconds then send new clients elsewhere while this node still answers.
    """

    @property
    def vmac(self) -> bytes:
        """The farm's virtual MAC, 6 bytes, the same on every node."""
        return virtual_mac(self.name, self.vips[0])


@dataclass(frozen=True, slots=True)
class Node:
    """[[node]]: one web server. At most 32 of them."""

    id: int
    """1 to 255 and never reused for another machine while the farm runs; the lowest live one coordinates."""

    name: str
    """What commands and messages call it: letters, digits, hyphens and dots, such as its host name."""

    addresses: tuple[Address, ...]
    """Its own addresses for heartbeats, one for each heartbeat network, in the same order on every node.

    At least one, and as many as every other node has.
    """

    weight: int = 100
    """Its share of the clients, 0 to 1000: weight / sum of the members' weights. 0 means member, but owner of nothing.

    The default is 100 so that shares can be thought of as percentages of a usual node.
    """


@dataclass(frozen=True, slots=True)
class Rule:
    """[[rule]]: what decides which node answers some ports. Traffic that no rule matches goes by client address."""

    ports: tuple[int, ...]
    """Destination ports, 1 to 65535; a port and protocol is in one rule at most."""

    protocol: Literal["tcp", "udp"]
    """The protocol of these ports."""

    affinity: Literal["client", "network", "connection"]
    """What stays on one node: all of a client's traffic, that of its /24 (IPv4) or /64 (IPv6) network, or only each
    connection, by client address and both ports.
    """


@dataclass(frozen=True, slots=True)
class Timing:
    """[timing]: how fast a failure is noticed.

    The rule that keeps two nodes from answering one client, checked when the configuration is read:

        lease_s <= suspect_after_s - 3 * heartbeat_interval_s - transit_s
    """

    heartbeat_interval_s: float = 0.05
    """Time between two heartbeats to each peer, in seconds, at least 0.01. 20 a second cost a node next to nothing."""

    suspect_after_s: float = 0.4
    """Silence after which a peer is suspected, in seconds: at least 4 * heartbeat_interval_s, at most 60.

    0.4 lets 7 heartbeats in a row be lost, and ends a takeover within half a second.
    """

    lease_s: float = 0.2
    """How long a node's filter answers without its daemon, in seconds: at least 2 * heartbeat_interval_s.

    0.2 lets the daemon be late by 3 heartbeats, and leaves 0.04 s of what the rule above allows.
    """

    transit_s: float = 0.01
    """The longest time that a heartbeat travels, in seconds; 0.01 is far more than a local network needs."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file."""

    farm: Farm
    """[farm]"""

    nodes: tuple[Node, ...] = field(metadata={"key": "node"})
    """[[node]], one for each web server, 1 to 32."""

    rules: tuple[Rule, ...] = field(default=(), metadata={"key": "rule"})
    """[[rule]], any number."""

    services: tuple[Service, ...] = field(default=(), metadata={"key": "service"})
    """[[service]], any number."""

    checks: tuple[Check, ...] = field(default=(), metadata={"key": "check"})
    """[[check]], any number."""

    timing: Timing = Timing()
    """[timing]"""

    @property
    def stop_within_s(self) -> float:
        """The longest that a planned stop takes, in seconds, with some time for what lies between."""
        services_s = sum(service.stop_timeout_s for service in self.services)
        return self.farm.drain_ahead_s + self.farm.drain_timeout_s + services_s + 10

    def node(self, id: int) -> Node:
        """The node with this id; KeyError when there is none."""
        for node in self.nodes:
            if node.id == id:
                return node
        raise KeyError(id)

    def node_named(self, name: str) -> Node:
        """The node with this name; ConfigError, which lists the names there are, when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise ConfigError("node", f"farm {self.farm.name} has no node {name!r}; its nodes are {names}")
