"""Cutting the network between places: the switch drops what one port sends to another.

The dropped pairs are the elements of one nft set in the switch, so the kernel's set is the only record of them.
"""

import json
import subprocess

from lab.errors import LabError
from lab.machine import Machine
from lab.topology import FAR, LAN, ROUTER, Topology

Pair = tuple[str, str]
"""Two ports of the switch: frames from the first to the second are dropped."""

TABLE = """
table bridge lab {
    set cuts { type ifname . ifname; }
    chain forward {
        type filter hook forward priority 0; policy accept;
        iifname . oifname @cuts drop
    }
}
"""
"""Given to nft in the switch. A flooded frame passes the hook once for every port that it leaves by."""


def pairs(topology: Topology, side: str, other: str, one_way: bool, network: int | None) -> list[Pair]:
    """The pairs of ports between two sides, each a comma-separated list of places.

    `one_way` cuts only what `side` sends to `other`; `network` (1 or 2) cuts one heartbeat network only.
    """
    here, there = _side(topology, side), _side(topology, other)
    if here & there:
        raise LabError(f"{', '.join(sorted(here & there))} cannot be on both sides of a cut")
    if network is not None and not 1 <= network <= topology.networks:
        raise LabError(f"this lab has no heartbeat network {network}, only {topology.networks}")
    bridges = {"br0", "br1"} if network is None else {f"br{network - 1}"}
    found = [
        (one.port, two.port)
        for a in sorted(here)
        for b in sorted(there)
        for one in topology.cables(a)
        for two in topology.cables(b)
        if one.bridge == two.bridge and one.bridge in bridges
    ]
    return found if one_way else found + [(b, a) for a, b in found]


def add(switch: Machine, cut: list[Pair]) -> None:
    """Drop what these pairs send, from now on."""
    elements = ", ".join(f'"{a}" . "{b}"' for a, b in cut)
    switch.network_command("nft -f -", f"add element bridge lab cuts {{ {elements} }}\n" if cut else "")


def remove_all(switch: Machine) -> None:
    """Let everything pass again."""
    switch.network_command("nft -f -", "flush set bridge lab cuts\n")


def listed(switch: Machine) -> set[Pair]:
    """The pairs that are cut now."""
    command = switch.enter("nft", "--json", "list", "set", "bridge", "lab", "cuts")
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    elements = [element for entry in answer["nftables"] for element in entry.get("set", {}).get("elem", [])]
    return {(element["concat"][0], element["concat"][1]) for element in elements}


def described(cut: set[Pair]) -> list[str]:
    """One sentence-like line per cut, in order."""
    both = [f"{a} and {b} do not hear each other" for a, b in cut if (b, a) in cut and a < b]
    single = [f"{b} does not hear {a}" for a, b in cut if (b, a) not in cut]
    return sorted(both) + sorted(single)


def _side(topology: Topology, side: str) -> set[str]:
    """The places of one side. The switch sees the far clients through the router's port."""
    places = {place.strip() for place in side.split(",")}
    known = {*topology.node_names, LAN, FAR, ROUTER}
    if wrong := sorted(places - known):
        raise LabError(f"cannot cut {wrong[0]!r}; name {', '.join(topology.node_names)}, lan, far or router")
    return {ROUTER if place == FAR else place for place in places}
