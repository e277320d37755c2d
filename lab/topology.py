"""The lab's network: the drawing, the addresses, and the text that ip, sysctl and nft build it from.

    ┌──────────────┐ ┌──────────────┐ ┌──────────────┐
    │ n1           │ │ n2           │ │ n3           │  up to n16
    │ VIP on lo    │ │ VIP on lo    │ │ VIP on lo    │  10.0.0.100, fd00::100
    │ eth1    eth0 │ │ eth1    eth0 │ │ eth1    eth0 │  eth0: 10.0.0.1, fd00::1 ...
    └──┼───────┼───┘ └──┼───────┼───┘ └──┼───────┼───┘  eth1: 10.99.0.1 ... (--networks 2 only)
       │       │        │       │        │       │
    ┌──┼───────┼────────┼───────┼────────┼───────┼──────────────────────────────────────┐
    │ n1-hb    n1     n2-hb     n2     n3-hb     n3                              switch │
    │ ═╧═══════│════════╧═══════│════════╧═ br1  │    (the second heartbeat network)    │
    │ ═════════╧════════════════╧════════════════╧═════════════╤══════════════╤═ br0    │
    │                                                         lan           router      │
    └──────────────────────────────────────────────────────────┼──────────────┼─────────┘
                                                               │              │ eth0: 10.0.255.254, fd00::ffff
                                           ┌───────────────────┴───┐     ┌────┴───┐
                                           │ lan: clients          │     │ router │
                                           │ eth0: 10.0.1.1 - .64  │     └────┬───┘
                                           │ fd00::1:1 - ::1:40    │          │ far: 192.168.7.254, fd07::ffff
                                           └───────────────────────┘     ┌────┴──────────────────┐
                                                                         │ far: clients behind   │
                                                                         │ eth0: 192.168.7.1-.64 │
                                                                         │ fd07::1 - ::40        │
                                                                         └───────────────────────┘

Every box is a place: a set of namespaces of its own (lab/machine.py), so no name here is seen outside of the lab and
labs run side by side. br0 is a switch that learns. Nobody ever sends from the vmac, so it never learns that one, and
floods every frame to it; a frame that did come from the vmac would show in `bridge fdb` and end the flooding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from lab.errors import LabError

SWITCH, ROUTER, LAN, FAR = "switch", "router", "lan", "far"

NODES_MAX = 16
NETWORKS_MAX = 2
SITES_MAX = 9
CLIENTS = 64

VIPS = (IPv4Address("10.0.0.100"), IPv6Address("fd00::100"))
CLIENTS_FIRST = {
    (LAN, 4): ip_address("10.0.1.1"),
    (LAN, 6): ip_address("fd00::1:1"),
    (FAR, 4): ip_address("192.168.7.1"),
    (FAR, 6): ip_address("fd07::1"),
}
ROUTER_LAN = ("10.0.255.254", "fd00::ffff")
ROUTER_FAR = ("192.168.7.254", "fd07::ffff")


@dataclass(frozen=True, slots=True)
class Cable:
    """A veth pair: a port of the switch (or of the router), and the interface at the other end."""

    owner: str
    """The place that has the port."""
    port: str
    """The port's name there."""
    bridge: str | None
    """The bridge that the port belongs to; None on the router."""
    place: str
    """The place at the other end."""
    interface: str
    """The interface's name there."""
    mac: str = ""
    """The interface's Ethernet address; empty for any. A node keeps its own when it is switched off and on."""

    def plug(self, pid: int) -> str:
        """Lines for `ip -batch` in the owner: create the pair, its far end in the namespace of process `pid`."""
        address = f"address {self.mac} " if self.mac else ""
        lines = [f"link add {self.port} type veth peer name {self.interface} {address}netns {pid}"]
        if self.bridge:
            lines.append(f"link set {self.port} master {self.bridge}")
        lines.append(f"link set {self.port} up")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Topology:
    """How many of what; everything else follows."""

    nodes: int = 3
    networks: int = 1
    """Heartbeat networks: 1 (eth0, with the clients) or 2 (eth1 as well, nodes only)."""
    site: int = 0
    """Labs that are joined (lab/sites.py) are IP networks of their own: 10.SITE.0.0/16 and fd00:0:0:SITE::/64."""

    def __post_init__(self) -> None:
        if not 0 <= self.site <= SITES_MAX:
            raise LabError(f"a lab's site is 0 to {SITES_MAX}, not {self.site}")
        if not 1 <= self.nodes <= NODES_MAX:
            raise LabError(f"a lab has 1 to {NODES_MAX} nodes, not {self.nodes}")
        if not 1 <= self.networks <= NETWORKS_MAX:
            raise LabError(f"a lab has 1 or {NETWORKS_MAX} heartbeat networks, not {self.networks}")

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(f"n{number}" for number in range(1, self.nodes + 1))

    @property
    def vips(self) -> tuple[str, ...]:
        return tuple(self.here(vip) for vip in VIPS)

    def here(self, address: object) -> str:
        """An address of site 0 as it is on this one."""
        there = ip_address(str(address))
        return str(there + (self.site << (16 if there.version == 4 else 64)))

    @property
    def places(self) -> tuple[str, ...]:
        return (SWITCH, ROUTER, LAN, FAR, *self.node_names)

    def node_number(self, node: str) -> int:
        """1 for n1, and so on; LabError if there is no such node."""
        if node not in self.node_names:
            raise LabError(f"there is no node {node!r}; this lab has {', '.join(self.node_names)}")
        return self.node_names.index(node) + 1

    def node_addresses(self, node: str) -> tuple[str, ...]:
        """The node's heartbeat addresses, one per network."""
        number = self.node_number(node)
        return (self.here(f"10.0.0.{number}"), f"10.99.0.{number}")[: self.networks]

    def cables(self, place: str) -> tuple[Cable, ...]:
        """The cables that end in this place."""
        if place == SWITCH:
            return ()
        if place == FAR:
            return (Cable(ROUTER, "far", None, FAR, "eth0"),)
        if place in (LAN, ROUTER):
            return (Cable(SWITCH, place, "br0", place, "eth0"),)
        number = self.node_number(place)
        return (
            Cable(SWITCH, place, "br0", place, "eth0", f"02:00:00:00:00:{number:02x}"),
            Cable(SWITCH, f"{place}-hb", "br1", place, "eth1", f"02:00:00:00:01:{number:02x}"),
        )[: self.networks]

    def addresses(self, place: str) -> str:
        """Lines for `ip -batch` in the place, once its cables are plugged: addresses, links up, routes."""
        lines = ["link set lo up"]
        gateways = [self.here(address) for address in ROUTER_LAN]
        if place == SWITCH:
            lines += _bridges(self.networks)
        elif place == ROUTER:
            lines += [*_assign("eth0", gateways, 16), *_assign("far", ROUTER_FAR, 24)]
        elif place == LAN:
            for pair in zip(clients(LAN, 4), clients(LAN, 6), strict=True):
                lines += _assign("eth0", [self.here(address) for address in pair], 16)
            lines += _default_routes(gateways)
        elif place == FAR:
            for pair in zip(clients(FAR, 4), clients(FAR, 6), strict=True):
                lines += _assign("eth0", pair, 24)
            lines += _default_routes(ROUTER_FAR)
        else:
            number = self.node_number(place)
            lines += _assign("eth0", [self.here(f"10.0.0.{number}"), self.here(IPv6Address("fd00::") + number)], 16)
            if self.networks == 2:
                lines += [f"addr add 10.99.0.{number}/24 dev eth1", "link set eth1 up"]
            lines += _default_routes(gateways)
        return "\n".join(lines) + "\n"


def clients(place: str, family: int, count: int = CLIENTS) -> list[IPv4Address | IPv6Address]:
    """The first `count` client addresses of a place, LAN or FAR, in family 4 or 6."""
    if count > CLIENTS:
        raise LabError(f"a place has {CLIENTS} client addresses, not {count}")
    first = CLIENTS_FIRST[place, family]
    return [first + offset for offset in range(count)]


def sysctls(place: str) -> str:
    """Lines for `sysctl --load`; read before any cable is plugged, so that `default` reaches every interface.

    Without duplicate address detection an IPv6 address can be used at once. The lines with a leading '-' are for keys
    that not every kernel has: a bridge must not hand its frames to the host's iptables rules.
    """
    lines = ["net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"]
    lines += ["net.ipv6.conf.default.accept_ra=0", "net.ipv6.conf.default.router_solicitations=0"]
    if place == SWITCH:
        lines += ["net.ipv6.conf.default.disable_ipv6=1"]
        lines += [f"-net.bridge.bridge-nf-call-{table}=0" for table in ("iptables", "ip6tables", "arptables")]
    if place == ROUTER:
        lines += ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]
    return "\n".join(lines) + "\n"


def _bridges(networks: int) -> Iterator[str]:
    """Ports forward at once (no spanning tree), and multicast goes everywhere, so neighbour solicitations arrive."""
    for number in range(networks):
        yield f"link add br{number} type bridge stp_state 0 forward_delay 0 mcast_snooping 0 nf_call_iptables 0"
        yield f"link set br{number} up"


def _assign(interface: str, pair: Sequence[object], prefix: int) -> Iterator[str]:
    """An IPv4 and an IPv6 address; `prefix` is the IPv4 one's, IPv6 networks are /64."""
    yield f"addr add {pair[0]}/{prefix} dev {interface}"
    yield f"addr add {pair[1]}/64 dev {interface} nodad"
    yield f"link set {interface} up"


def _default_routes(gateways: Sequence[str]) -> Iterator[str]:
    yield f"route add default via {gateways[0]}"
    yield f"route add default via {gateways[1]}"
