"""The command `farmd`: takes this machine into the farm, serves, and takes it out again."""

from __future__ import annotations

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
from farmd.heartbeats import Heartbeats
from farmd.kit import command, notify
from farmd.kit import log as logs
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
    incarnation = identity.incarnation()
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


def main() -> None:
    """The command `farmd`."""
    arguments = command.options("farmd", "farm", "One node of a farm that shares a virtual IP.").parse_args()
    logs.start(arguments.log_level)
    with command.in_sentences("farmd"):
        config = load_here(arguments.config)
        with command.sole("farmd", config.farm.name, "attaches a filter to a network interface"):
            again = serve(arguments.config, config, identity.find_node(config.nodes, arguments.node))
    if again:
        notify.starting_anew(START_WITHIN_S)
        os.environ[HANDOVER_VARIABLE] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
