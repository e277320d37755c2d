"""The virtual address of a mirror: what clients reach the serving node by, and how a node takes it and lets it go.

    "vmac"    a farm of one owner: its filter (farmd.datapath) is attached on both nodes, open on the one that serves
    "alias"   an ordinary address of the interface, announced to the neighbours

In both ways the kernel holds it for a limited time only: a daemon that is killed or hangs loses it by itself.
"""

from __future__ import annotations

from typing import Protocol

from farmd import links
from mirrord.config import Mirror
from mirrord.vip_alias import Alias
from mirrord.vip_vmac import SharedMac


class VirtualAddress(Protocol):
    """The mirror's addresses on this node. `until_ns` is CLOCK_MONOTONIC: by then the kernel has withdrawn them, in
    "alias" mode at the full second after it, unless `renew` was called meanwhile. Nothing here waits, and nothing but
    opening raises an error: `trouble` tells.
    """

    @property
    def mode(self) -> str:
        """How it is done here, in a few words for people."""

    @property
    def trouble(self) -> str:
        """What is wrong with it just now, in a sentence; empty if nothing is."""

    @property
    def counters(self) -> dict[str, int]:
        """What the filter counted, by the names of bpf/farm.h; empty where there is none."""

    def up(self, until_ns: int) -> None:
        """Clients come here from now on."""

    def renew(self, until_ns: int) -> None:
        """They go on coming; due several times before the time is over. Without effect while it is down."""

    def down(self) -> None:
        """They come here no more, which is so when this returns."""

    def close(self, keep: bool = False) -> None:
        """Undo everything, for the end of the daemon; with `keep` a successor finds all as it is, within the time."""


class Nowhere:
    """A mirror without virtual addresses."""

    mode = "none"
    trouble = ""

    @property
    def counters(self) -> dict[str, int]:
        return {}

    def up(self, until_ns: int) -> None: ...

    def renew(self, until_ns: int) -> None: ...

    def down(self) -> None: ...

    def close(self, keep: bool = False) -> None: ...


def open_address(mirror: Mirror) -> VirtualAddress:
    """The mirror's virtual addresses, which are down. What an earlier run left of them, in either mode, is gone then.
    The caller holds the mirror's lock (farmd.kit.lock.hold_farm_lock). MachineError if this machine cannot.
    """
    if not mirror.vips:
        return Nowhere()
    if mirror.vip_mode == "vmac":
        return SharedMac.open(mirror)
    if links.left_behind(mirror.name):
        SharedMac.open(mirror).close()
    return Alias.open(mirror.interface, mirror.vips)
