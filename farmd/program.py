"""The command `farmd`: takes this machine into the farm, serves, and takes it out again."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import time
from pathlib import Path

from farmd import identity, links
from farmd.config import Config, Node
from farmd.config_file import load_here
from farmd.core.buckets import CLOSED, State
from farmd.core.view import BUCKETS
from farmd.daemon import HANDOVER_VARIABLE, Daemon, served_before
from farmd.datapath import Datapath
from farmd.errors import FarmError, MachineError
from farmd.heartbeats import Heartbeats
from farmd.kit import log as logs
from farmd.kit import notify
from farmd.kit.lock import hold_farm_lock
from farmd.kit.punctual import punctual

log = logging.getLogger("farmd")

START_WITHIN_S = 90.0
"""For the successor to be ready, which may have to compile its filter first; as long as systemd gives any program."""
HANDOVER_LEASE_NS = 10 * identity.NS
"""How long a daemon that replaces itself lets old flows pass: ample for a start, short if it never comes."""


def serve(path: Path, config: Config, node: Node) -> bool:
    """Takes this machine into the farm and out again. True if the program shall start anew."""
    farm = config.farm
    mac = links.interface_mac(farm.interface)
    # Later than every earlier start's, also across a reboot, as long as the clock is not set back; and if it is, peers
    # accept any number that is new to them.
    incarnation = time.time_ns()
    heartbeats = Heartbeats(config, node, incarnation)
    with contextlib.ExitStack() as undo:
        undo.callback(heartbeats.close)
        datapath = Datapath.open(farm.interface, farm.name, farm.xdp)
        keep = False
        undo.callback(lambda: datapath.close(keep=keep))
        if not served_before():
            datapath.renew(0)
            datapath.install(CLOSED)
        datapath.configure(farm.vips, config.rules, farm.vmac, mac)
        machine = links.Links(farm.name, farm.interface, farm.vips, farm.vmac)
        machine.up()
        undo.callback(lambda: None if keep else machine.down())
        log.info("node %s of farm %s on %s, xdp %s (%s)", node.name, farm.name, farm.interface, datapath.mode,
                 datapath.mode_reason)  # fmt: skip
        daemon = Daemon(path, config, node, datapath, heartbeats, incarnation)
        with punctual():
            asyncio.run(daemon.run())
        keep = daemon.replace
        if keep:
            datapath.install(bytes([State.DRAINING]) * BUCKETS)
            datapath.renew(time.monotonic_ns() + HANDOVER_LEASE_NS)
    return keep


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("farmd", description="One node of a farm that shares a virtual IP.")
    parser.add_argument("--config", type=Path, required=True, help="the farm's TOML file")
    parser.add_argument("--node", help="which of its nodes this is (default: the one with this machine's addresses)")
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info")
    return parser.parse_args()


def main() -> None:
    """The command `farmd`."""
    arguments = _arguments()
    logs.start(arguments.log_level)
    try:
        config = load_here(arguments.config)
        if os.geteuid() != 0:
            raise MachineError("farmd must run as root: it attaches a filter to a network interface")
        node = identity.find_node(config.nodes, arguments.node)
        lock = hold_farm_lock(config.farm.name)
        try:
            again = serve(arguments.config, config, node)
        finally:
            lock.release()
    except FarmError as error:
        sys.exit(f"farmd: {error}")
    if again:
        notify.starting_anew(START_WITHIN_S)
        os.environ[HANDOVER_VARIABLE] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
