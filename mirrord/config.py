"""The configuration of a mirror: one TOML file, the same on both nodes.

The dataclasses are the schema, and the text under each field is its documentation. What a value must satisfy beyond
its type is in `config_rules`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NewType

from farmd.errors import ConfigError
from farmd.kit.toml import Address
from farmd.kit.vmac import virtual_mac
from farmd.supervision.schema import Check, Service

File = NewType("File", Path)
"""A file that the configuration names; a relative path starts at the configuration's folder."""


@dataclass(frozen=True, slots=True)
class Tls:
    """[mirror] tls: the replication stream inside TLS, each node with a certificate of its own."""

    certificate: File
    """This node's certificate, and what leads from it to `ca`, in PEM."""

    key: File
    """Its private key, in PEM; readable by root only."""

    ca: File
    """The certificates that must have signed the peer's, in PEM."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """[mirror]: what the two nodes are together."""

    name: str
    """Names the control socket, the folder of its state and the filter's slot, and is part of every heartbeat.

    1 to 32 characters: lower-case letters, digits and, not first, hyphens; no farm on the same machine has it.
    """

    directories: tuple[Path, ...]
    """What is replicated: 1 to 16 folders, full paths, none inside another one, the same on both nodes.

    They stay where they are. They must be there before the mirror starts; on the node without the data, empty.
    """

    keys: tuple[bytes, ...] = field(repr=False)
    """The mirror's secrets, 1 to 8, each at least 16 characters: "@/path" of a file that only root can read, or the
    text itself. A relative path starts at the configuration's folder.

    Here they are derived keys of 32 bytes. The first one seals what this node sends, any of them is accepted; so a key
    is replaced without an interruption by `[old, new]` on both nodes, then `[new, old]`, then `[new]`.
    """

    vips: tuple[Address, ...] = ()
    """The virtual addresses that clients use, IPv4 and IPv6: where they lead to is the node that serves.

    None: clients find the serving node in another way, such as a load balancer that asks the health page.
    """

    interface: str = ""
    """The interface that clients reach us by, such as "eth0"; needed for `vips`."""

    vip_mode: Literal["vmac", "alias"] = "vmac"
    """How the virtual addresses change hands.

    "vmac": address and MAC never change; the switch floods, and a leased filter on each node decides who answers, so a
    node that hangs stops answering by itself. "alias": the serving node has the addresses and announces them by
    gratuitous ARP and unsolicited neighbour advertisements, where flooding is not wanted.
    """

    xdp: Literal["auto", "native", "generic", "off"] = "auto"
    """Where the filter of vip_mode "vmac" drops what another node answers; as for a farm."""

    witness: tuple[Address, ...] = ()
    """Addresses outside of the mirror, such as the router's. A node that hears its peer no more serves alone only if
    one of them answers.

    None by default, but recommended: without it, both nodes serve when all networks between them fail.
    """

    prefer: str = ""
    """The node that shall serve when both can: the mirror swaps to it once it is in sync. Empty: whoever serves, serves
    on.
    """

    prefer_window: str = ""
    """When the mirror may swap to `prefer` by itself: "HH:MM-HH:MM", the local time of the serving node, over midnight
    too. Empty: at any time.
    """

    ack: Literal["applied", "disk"] = "applied"
    """What a write waits for on the peer.

    "applied": it is in both kernels, so it survives the loss of either node, and fsync waits for both disks. "disk":
    every write waits for both disks.
    """

    port: int = 5408
    """The UDP port of heartbeats, on every address of both nodes, and the TCP port of replication; each mirror on a
    machine needs one of its own.
    """

    tls: Tls | None = None
    """Encrypts and authenticates the replication stream. Without it, the nodes prove to each other by `keys` who they
    are, and what follows is in the clear and as safe as the network is."""

    resync_rate_mb_s: float = 0.0
    """The most that a resync sends, in megabytes (10^6 bytes) a second, 0 to 100,000; 0: no limit.

    Live writes go first in any case; a limit is for networks and disks that others use, too.
    """

    @property
    def resync_rate_bytes_s(self) -> int:
        """The same in bytes a second."""
        return round(self.resync_rate_mb_s * 1_000_000)

    @property
    def vmac(self) -> bytes:
        """The mirror's virtual MAC, 6 bytes, the same on both nodes. Only where there are `vips`."""
        return virtual_mac(self.name, self.vips[0])


@dataclass(frozen=True, slots=True)
class Node:
    """[[node]]: one of the two servers."""

    id: int
    """1 to 255. Where all else is equal, the lower one goes first."""

    name: str
    """What commands and messages call it: letters, digits, hyphens and dots, such as its host name."""

    addresses: tuple[Address, ...]
    """Its own addresses, one for each heartbeat network, in the same order on both nodes, at least one.

    Replication uses the first network that works, so the fastest one comes first.
    """


@dataclass(frozen=True, slots=True)
class Timing:
    """[timing]: how fast a failure is noticed.

    The rule that keeps two nodes from answering one client, checked when the configuration is read:

        lease_s <= suspect_after_s - 3 * heartbeat_interval_s - transit_s
    """

    heartbeat_interval_s: float = 0.1
    """Time between two heartbeats, in seconds, at least 0.01."""

    suspect_after_s: float = 2.0
    """Silence on every heartbeat network after which the peer is suspected, in seconds: at least
    4 * heartbeat_interval_s, at most 60.

    2 outlasts a switch that restarts a port and a machine that is busy for a moment: a failover restarts the
    application, so it shall not come for nothing.
    """

    lease_s: float = 1.0
    """How long a node's filter answers without its daemon, in seconds: at least 2 * heartbeat_interval_s."""

    transit_s: float = 0.01
    """The longest time that a heartbeat travels, in seconds; 0.01 is far more than a local network needs."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file."""

    mirror: Mirror
    """[mirror]"""

    nodes: tuple[Node, ...] = field(metadata={"key": "node"})
    """[[node]], two of them."""

    services: tuple[Service, ...] = field(default=(), metadata={"key": "service"})
    """[[service]], any number: the application. It runs on the node that serves, and only there."""

    checks: tuple[Check, ...] = field(default=(), metadata={"key": "check"})
    """[[check]], any number; tried where the application runs."""

    timing: Timing = Timing()
    """[timing]"""

    @property
    def stop_within_s(self) -> float:
        """The longest that a planned stop takes, in seconds: the application here, its start over there, and some time
        for what lies between."""
        services_s = sum(service.stop_timeout_s for service in self.services)
        return services_s + 60

    def peer_of(self, node: Node) -> Node:
        """The other one."""
        return next(other for other in self.nodes if other.id != node.id)

    def node_named(self, name: str) -> Node:
        """The node with this name; ConfigError, which lists the names there are, when there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise ConfigError("node", f"mirror {self.mirror.name} has no node {name!r}; its nodes are {names}")
