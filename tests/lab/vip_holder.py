"""Stands in for mirrord in a node of the lab: has a mirror's virtual addresses and does with them what it is told.

Each line of standard input is a verb, each line of standard output says how things are after it. While the addresses
are up they are renewed as the daemon does it.
"""

from __future__ import annotations

import contextlib
import json
import select
import sys
import time
from ipaddress import ip_address
from pathlib import Path

from farmd.errors import MachineError
from farmd.kit.lock import hold_farm_lock
from mirrord.config import Mirror
from mirrord.vip import VirtualAddress, open_address

LEASE_NS = 1_000_000_000
HEARTBEAT_S = 0.1


def obey(vip: VirtualAddress, verb: str) -> None:
    match verb:
        case "up":
            vip.up(time.monotonic_ns() + LEASE_NS)
        case "down":
            vip.down()
        case "say":
            pass
        case _:
            raise ValueError(verb)


def serve(vip: VirtualAddress) -> None:
    """Until standard input ends. The address is renewed on time however often it is asked for."""
    due_s = time.monotonic() + HEARTBEAT_S
    while True:
        asked = select.select([sys.stdin], [], [], max(0.0, due_s - time.monotonic()))[0]
        if time.monotonic() >= due_s:
            due_s = time.monotonic() + HEARTBEAT_S
            vip.renew(time.monotonic_ns() + LEASE_NS)
        if not asked:
            continue
        verb = sys.stdin.readline().strip()
        if not verb:
            return
        obey(vip, verb)
        print(json.dumps({"mode": vip.mode, "trouble": vip.trouble, "counters": vip.counters}), flush=True)


def main() -> None:
    name, mode, *addresses = sys.argv[1:]
    vips = tuple(map(ip_address, addresses))
    mirror = Mirror(name, (Path("/"),), (), vips, "eth0", vip_mode=mode)  # type: ignore[arg-type]
    with contextlib.ExitStack() as stack:
        stack.callback(hold_farm_lock(name).release)
        try:
            vip = open_address(mirror)
        except MachineError as error:
            print(json.dumps({"error": str(error)}), flush=True)
            return
        stack.callback(vip.close)
        print(json.dumps({"mode": vip.mode}), flush=True)
        serve(vip)


if __name__ == "__main__":
    main()
