"""A mirror as a farm of one owner: both nodes share a virtual MAC, and the filter of the one that serves is open.

The pair of VIP and vmac never changes, so a failover needs no ARP. The filter is attached on both nodes from the start,
so that taking over is a message to the kernel and a store. The VIP is on `lo` only where it is served: a client on the
other node reaches the serving one through the network, like everybody else.
"""

from __future__ import annotations

from farmd import links
from farmd.core.buckets import CLOSED, State
from farmd.core.view import BUCKETS
from farmd.datapath import Datapath
from farmd.links import Links
from mirrord.addresses import LO, SCOPE_HOST, Lent
from mirrord.config import Mirror

OWNED = bytes([State.OWNED]) * BUCKETS


class SharedMac:
    """The virtual addresses in `vip_mode = "vmac"`; see VirtualAddress for what its methods do."""

    def __init__(self, datapath: Datapath, machine: Links, lent: Lent) -> None:
        """Use `SharedMac.open()`."""
        self._datapath = datapath
        self._machine = machine
        self._lent = lent
        self._up = False
        self.trouble = ""

    @classmethod
    def open(cls, mirror: Mirror) -> SharedMac:
        """Attach the filter, closed, and prepare the interface. Every bucket is in the same state at any time, so the
        filter needs no secret to hash with. MachineError if this machine or the interface cannot.
        """
        mac = links.interface_mac(mirror.interface)
        datapath = Datapath.open(mirror.interface, mirror.name, mirror.xdp)
        try:
            datapath.renew(0)
            datapath.install(CLOSED)
            datapath.configure(mirror.vips, (), mirror.vmac, mac)
            machine = Links(mirror.name, mirror.interface, mirror.vips, mirror.vmac)
            machine.up(answering=False)
        except BaseException:
            datapath.close()
            raise
        return cls(datapath, machine, Lent(LO, mirror.vips, SCOPE_HOST))

    @property
    def mode(self) -> str:
        return f"vmac, xdp {self._datapath.mode}"

    @property
    def counters(self) -> dict[str, int]:
        return self._datapath.counters()

    def up(self, until_ns: int) -> None:
        self._up = True
        self.renew(until_ns)
        self._datapath.install(OWNED)

    def renew(self, until_ns: int) -> None:
        if not self._up:
            return
        self._datapath.renew(until_ns)
        try:
            self._lent.renew(until_ns)
            self.trouble = ""
        except OSError as error:
            self.trouble = f"the virtual address cannot be put on lo: {error.strerror}"

    def down(self) -> None:
        self._up = False
        self._datapath.install(CLOSED)
        self._datapath.renew(0)
        self._lent.remove()

    def close(self, keep: bool = False) -> None:
        if not keep:
            self.down()
            self._machine.down()
        self._lent.close()
        self._datapath.close(keep=keep)
