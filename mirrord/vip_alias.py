"""A mirror's addresses as ordinary ones of the interface, for networks where flooding is not wanted: the neighbours
learn from announcements where they are.

A daemon that is frozen or killed keeps them for as long as the kernel lends them, at most LIFETIME_MAX_S.
"""

from __future__ import annotations

from collections.abc import Sequence

from farmd import links
from farmd.errors import MachineError
from farmd.links import Address
from mirrord.addresses import Lent
from mirrord.announcements import Announcements


class Alias:
    """The virtual addresses in `vip_mode = "alias"`; see VirtualAddress for what its methods do."""

    mode = "alias"

    def __init__(self, interface: str, vips: Sequence[Address]) -> None:
        """Use `Alias.open()`."""
        self._interface = interface
        self._vips = tuple(vips)
        self._lent = Lent(interface, vips)
        self._announcements: Announcements | None = None
        """While they are up."""
        self._up = False
        self._failure = ""

    @classmethod
    def open(cls, interface: str, vips: Sequence[Address]) -> Alias:
        """Take away what an earlier run left. MachineError if there is no such interface, or if a virtual address is
        one of this machine's own.
        """
        links.interface_index(interface)
        alias = cls(interface, vips)
        alias.down()
        own = links.own_addresses()
        for vip in vips:
            if vip in own:
                alias.close()
                raise MachineError(f"{vip} is an ordinary address of {own[vip]} here; a VIP must not be")
        return alias

    @property
    def trouble(self) -> str:
        return self._failure or (self._announcements.conflict if self._announcements is not None else "")

    @property
    def counters(self) -> dict[str, int]:
        return {}

    def up(self, until_ns: int) -> None:
        self._up = True
        self.renew(until_ns)

    def renew(self, until_ns: int) -> None:
        if not self._up:
            return
        try:
            self._lent.renew(until_ns)
            if self._announcements is None:
                self._announcements = Announcements(self._interface, self._vips)
            self._announcements.attend()
            self._failure = ""
        except OSError as error:
            self._failure = f"the virtual address cannot be put on {self._interface}: {error.strerror}"
            self._silence()

    def down(self) -> None:
        self._up = False
        self._lent.remove()
        self._silence()

    def close(self, keep: bool = False) -> None:
        if not keep:
            self.down()
        self._silence()
        self._lent.close()

    def _silence(self) -> None:
        if self._announcements is not None:
            self._announcements.close()
            self._announcements = None
