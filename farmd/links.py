"""What the machine's network needs around the filter, and how it is undone.

- Every VIP on `lo` (/32, /128 without duplicate address detection): the machine accepts it and never announces it.
- arp_ignore=1 and arp_announce=2 on the interface (ip-sysctl in the kernel's documentation): the kernel neither answers
  ARP for an address of `lo` nor uses one as an ARP source. The filter answers in its place.
- The vmac as a permanent self entry of the interface's forwarding database: the NIC accepts it without promiscuity.
- Membership of each IPv6 VIP's solicited-node group, so that switches with MLD snooping deliver solicitations.

A file in the run folder says what was done, so that a run that was killed is cleaned up by the next.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from farmd.errors import MachineError
from farmd.kit.lock import Lock, run_folder

log = logging.getLogger(__name__)

Address = IPv4Address | IPv6Address

ARP = {"arp_ignore": "1", "arp_announce": "2"}
SCOPE_HOST = 254
IFA_F_NODAD = 0x02
NUD_PERMANENT = 0x80
NTF_SELF = 0x02
LO = 1


def interface_index(name: str) -> int:
    """The interface's number; raises MachineError if there is none of this name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise MachineError(f"there is no interface {name} on this machine") from None


def interface_mac(name: str) -> bytes:
    """The interface's own Ethernet address; raises MachineError if it has none."""
    interface_index(name)
    mac = bytes.fromhex(Path(f"/sys/class/net/{name}/address").read_text().strip().replace(":", ""))
    if len(mac) != 6:
        raise MachineError(f"interface {name} has no Ethernet address")
    return mac


def own_addresses() -> dict[Address, str]:
    """Every address of this machine and the interface that has it."""
    with IPRoute() as ip:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in ip.get_links()}
        return {
            ip_address(address.get_attr("IFA_LOCAL") or address.get_attr("IFA_ADDRESS")): names[address["index"]]
            for address in ip.get_addr()
        }


def left_behind(farm: str) -> bool:
    """Whether a run that was killed has left its changes to the network, for a farm or mirror of this name."""
    return _record_of(farm).exists()


class Links:
    """One farm's changes to this machine's network."""

    def __init__(self, farm: str, interface: str, vips: Iterable[Address], vmac: bytes) -> None:
        self._interface = interface
        self._vips = tuple(vips)
        self._vmac = vmac.hex(":")
        self._record = _record_of(farm)
        self._groups: list[socket.socket] = []

    def up(self, *, answering: bool = True) -> None:
        """Makes the changes, taking over what a killed run left behind. Raises MachineError, having undone all.

        answering: whether the VIPs are to be on `lo`; else they are not, also those that a killed run left there.
        """
        index = interface_index(self._interface)
        addresses = own_addresses()
        for vip in self._vips:
            if addresses.get(vip, "lo") != "lo":
                raise MachineError(f"{vip} is an ordinary address of {addresses[vip]} here; a VIP must not be")
        self._forget_earlier_run()
        try:
            with _links_lock():
                self._save()
                _set_arp(self._interface)
            with IPRoute() as ip:
                for vip in self._vips:
                    (_add_vip if answering else _remove_vip)(ip, vip)
                _accept_mac(ip, index, self._vmac)
            self._groups = [_join_group(vip, index) for vip in self._vips if isinstance(vip, IPv6Address)]
        except (NetlinkError, OSError) as error:
            self.down()
            raise MachineError(f"cannot set up {self._interface}: {error}") from None

    def down(self) -> None:
        """Undoes everything; what is gone already, like the interface, is no error."""
        for group in self._groups:
            group.close()
        self._undo(self._interface, self._vips, self._vmac)

    def _save(self) -> None:
        # What arp_ignore and arp_announce were before the first farm came to the interface.
        before = next((other["arp"] for other in _records(self._interface)), None) or _read_arp(self._interface)
        record = {"interface": self._interface, "vips": [str(v) for v in self._vips], "mac": self._vmac, "arp": before}
        self._record.write_text(json.dumps(record))

    def _forget_earlier_run(self) -> None:
        """Takes back what an earlier run with another configuration left."""
        earlier = _read_record(self._record)
        if earlier is None:
            return
        same = earlier["interface"] == self._interface and earlier["mac"] == self._vmac
        stale = [vip for vip in map(ip_address, earlier["vips"]) if vip not in self._vips]
        if not same:
            self._undo(earlier["interface"], map(ip_address, earlier["vips"]), earlier["mac"])
        elif stale:
            with IPRoute() as ip:
                for vip in stale:
                    _remove_vip(ip, vip)

    def _undo(self, interface: str, vips: Iterable[Address], mac: str) -> None:
        with IPRoute() as ip:
            for vip in vips:
                _remove_vip(ip, vip)
            with contextlib.suppress(OSError, NetlinkError):
                ip.fdb("del", ifindex=socket.if_nametoindex(interface), lladdr=mac, flags=NTF_SELF)
        with _links_lock():
            record = _read_record(self._record)
            self._record.unlink(missing_ok=True)
            if record is not None and not any(_records(interface)):
                _write_arp(interface, record["arp"])


def _links_lock() -> Lock:
    return Lock(run_folder() / "links.lock")


def _record_of(farm: str) -> Path:
    return run_folder() / f"{farm}.links.json"


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record


def _records(interface: str) -> Iterator[dict[str, Any]]:
    """What every farm on the interface has noted down."""
    for path in run_folder().glob("*.links.json"):
        record = _read_record(path)
        if record is not None and record["interface"] == interface:
            yield record


def _arp_file(interface: str, name: str) -> Path:
    return Path(f"/proc/sys/net/ipv4/conf/{interface}/{name}")


def _read_arp(interface: str) -> dict[str, str]:
    return {name: _arp_file(interface, name).read_text().strip() for name in ARP}


def _write_arp(interface: str, values: dict[str, str]) -> None:
    with contextlib.suppress(FileNotFoundError):  # the interface is gone, and its settings with it
        for name, value in values.items():
            _arp_file(interface, name).write_text(value)


def _set_arp(interface: str) -> None:
    _write_arp(interface, ARP)


def _add_vip(ip: IPRoute, vip: Address) -> None:
    with _unless(errno.EEXIST):
        if isinstance(vip, IPv4Address):
            # Scope host: the machine answers from it and never chooses it for connections of its own.
            ip.addr("add", index=LO, address=str(vip), prefixlen=32, scope=SCOPE_HOST)
        else:
            ip.addr("add", index=LO, address=str(vip), prefixlen=128, flags=IFA_F_NODAD)


def _remove_vip(ip: IPRoute, vip: Address) -> None:
    with _unless(errno.EADDRNOTAVAIL, errno.ENOENT):
        ip.addr("del", index=LO, address=str(vip), prefixlen=vip.max_prefixlen)


def _accept_mac(ip: IPRoute, index: int, mac: str) -> None:
    with _unless(errno.EEXIST):
        ip.fdb("add", ifindex=index, lladdr=mac, state=NUD_PERMANENT, flags=NTF_SELF)


def _join_group(vip: IPv6Address, index: int) -> socket.socket:
    """A socket that is a member of the VIP's solicited-node group (RFC 4291 section 2.7.1) as long as it is open."""
    group = IPv6Address("ff02::1:ff00:0").packed[:13] + vip.packed[13:]
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("@i", index))
    return sock


@contextlib.contextmanager
def _unless(*codes: int) -> Iterator[None]:
    """Errors with these codes mean that it is done already."""
    try:
        yield
    except NetlinkError as error:
        if error.code not in codes:
            raise
