"""Two or more virtual machines on one switch, and clients beside them.

    ┌────────────────────┐ ┌────────────────────┐
    │ n1  Debian, QEMU   │ │ n2  Debian, QEMU   │
    │ eth0: 10.0.0.1     │ │ eth0: 10.0.0.2     │     VIPs 10.0.0.100, fd00::100; of a mirror 10.0.0.200
    │ eth1: 10.99.0.1    │ │ eth1: 10.99.0.2    │     with two networks only: the cable between the two
    └───┼───────────┼────┘ └───┼───────────┼────┘
    ┌───┼───────────┼──────────┼───────────┼──────────────┐
    │ tap n1    tap n1-hb   tap n2     tap n2-hb   switch │  QEMU's processes live here, too
    │   │       ════╧══════════│═══════════╧════════  br1 │
    │ ══╧══════════════════════╧═══════════════╤═════ br0 │  10.0.255.254: the gateway
    └──────────────────────────────────────────┼──────────┘
                                     ┌─────────┴───────────┐
                                     │ lan: clients        │
                                     │ eth0: 10.0.1.1 -.64 │
                                     └─────────────────────┘

Switch and lan are places as in lab/topology.py, whose addresses these are; br0 is a switch that learns and floods.
"""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from typing import Self

from lab import machine
from lab.errors import LabError
from lab.machine import Machine
from lab.state import State
from lab.topology import LAN, ROUTER_LAN, SWITCH, Topology, sysctls
from lab.vm.guest import Guest, Link
from lab.vm.image import Image
from lab.waiting import until


class VirtualLab:
    """The machines of one lab, by its name; nothing is done before `up`."""

    def __init__(self, name: str, nodes: int, image: Image, accel: str, networks: int = 1) -> None:
        self.state = State(name)
        self.topology = Topology(nodes, networks)
        self.guests: dict[str, Guest] = {}
        self._places: dict[str, Machine] = {}
        self._image = image
        self._accel = accel

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Build the network and boot every machine; all or nothing."""
        self.state.claim(self.topology)
        try:
            self._places = machine.boot(self.state.name, (SWITCH, LAN), self.state.machines_log)
            self._cable()
            for name in self.topology.node_names:
                self.guests[name] = self._guest(name)
            for guest in self.guests.values():
                guest.power_on(wait=False)
            for guest in self.guests.values():
                guest.wait_booted()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End everything; nothing is left but the cached image."""
        machine.end_all(self.state.name)
        self.state.remove()

    def popen(self, place: str, *command: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
        """As of a Lab: a command in the place of the clients (or the switch), beside this process."""
        enter = self._places[place].enter_bound(*command)
        return subprocess.Popen(enter, stdout=stdout, bufsize=0, env=machine.environment())

    def exec(
        self, place: str, *command: str, check: bool = True, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """As of a Lab: run a command in a place; LabError if it fails (with `check`)."""
        done = subprocess.run(
            self._places[place].enter_bound(*command),
            capture_output=True, text=True, env=machine.environment(), check=False, timeout=timeout,
        )  # fmt: skip
        if check and done.returncode:
            raise LabError(f"`{' '.join(command)}` failed in {place}: {done.stderr.strip()}")
        return done

    def machine(self, place: str) -> Machine:
        """As of a Lab: a place that is none of the virtual machines."""
        return self._places[place]

    def _cable(self) -> None:
        switch, lan = self._places[SWITCH], self._places[LAN]
        for place, there in self._places.items():
            there.network_command("sysctl --quiet --load=-", sysctls(place))
        ports = [
            f"tuntap add dev {link.tap} mode tap\nlink set {link.tap} master br{network} up"
            for name in self.topology.node_names
            for network, link in enumerate(self._links(name))
        ]
        cables = "".join(cable.plug(lan.pid) for cable in self.topology.cables(LAN))
        lines = [f"addr add {ROUTER_LAN[0]}/16 dev br0", *ports, cables]
        switch.network_command("ip -batch -", self.topology.addresses(SWITCH) + "\n".join(lines))
        lan.network_command("ip -batch -", self.topology.addresses(LAN))
        link = lan.path("/sys/class/net/eth0/operstate")
        until(lambda: link.read_text().strip() == "up", "the clients' link to be up")

    def _guest(self, name: str) -> Guest:
        return Guest(name, self._places[SWITCH], self._links(name), self._image, self.state.log(name), self._accel)

    def _links(self, name: str) -> list[Link]:
        """A machine's interfaces: with the clients, and to the other machine alone."""
        number = self.topology.node_number(name)
        addresses = (IPv4Interface(f"10.0.0.{number}/16"), IPv6Interface(f"fd00::{number}/64"))
        first = Link(name, f"52:54:00:00:00:{number:02x}", addresses, IPv4Address(ROUTER_LAN[0]))
        second = Link(f"{name}-hb", f"52:54:00:00:01:{number:02x}", (IPv4Interface(f"10.99.0.{number}/24"),))
        return [first, second][: self.topology.networks]
