"""The command `mirrord`: one node of a mirror, in the foreground until it is asked to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import time
from pathlib import Path

from farmd import identity as machine
from farmd.errors import FarmError, MachineError
from farmd.kit import log as logs
from farmd.kit.lock import hold_farm_lock
from farmd.kit.punctual import punctual
from mirrord import identity, orders
from mirrord.child import volume_lock
from mirrord.config import Config, Node
from mirrord.config_file import load_here
from mirrord.core.role import Core
from mirrord.daemon import Daemon, Parts
from mirrord.heartbeats import Heartbeats
from mirrord.state_folder import state_folder
from mirrord.store import Store
from mirrord.vip import open_address
from mirrord.volume.link.greeting import VERSIONS

log = logging.getLogger("mirrord")


def serve(path: Path, config: Config, node: Node) -> None:
    """Takes part in the mirror until asked to stop.

    What an earlier run has left goes first, in this order: its address, so that clients stop coming; its volume, whose
    mounts answer errors from then on; its application (Daemon.run), before a new volume takes the dead mounts away.
    """
    mirror = config.mirror
    # Later than every earlier start's, also across a reboot, as long as the clock is not set back; and if it is, peers
    # accept any number that is new to them.
    incarnation = time.time_ns()
    with contextlib.ExitStack() as undo:
        store = Store(state_folder(mirror.name))
        undo.callback(store.close)
        state = store.load()
        heartbeats = Heartbeats(config, node, incarnation)
        undo.callback(heartbeats.close)
        address = open_address(mirror)
        undo.callback(address.close)
        lock = volume_lock(mirror.name)
        undo.callback(lock.release)
        parts = Parts(heartbeats, address, store, _opening(config, node), lock)
        settings = identity.settings(config, node, protocol=VERSIONS[-1])
        log.info("node %s of mirror %s, data %s, address %s", node.name, mirror.name, state.condition, address.mode)
        with punctual():
            asyncio.run(_run(path, config, node, Core(settings, incarnation, state, time.monotonic_ns()), parts))


async def _run(path: Path, config: Config, node: Node, core: Core, parts: Parts) -> None:
    await Daemon(path, config, node, core, parts).run()


def _opening(config: Config, node: Node) -> orders.Open:
    """The volume's first order."""
    mirror, peer = config.mirror, config.peer_of(node)
    tls = None
    if mirror.tls is not None:
        tls = {name: str(getattr(mirror.tls, name)) for name in ("certificate", "key", "ca")}
    return orders.Open(
        mirror=mirror.name,
        node=node.id,
        directories=[str(directory) for directory in mirror.directories],
        folder=str(state_folder(mirror.name)),
        ack=mirror.ack,
        keys=[key.hex() for key in mirror.keys],
        addresses=[str(address) for address in node.addresses],
        peer=peer.id,
        peer_addresses=[str(address) for address in peer.addresses],
        port=mirror.port,
        tls=tls,
        rate_bytes_s=mirror.resync_rate_bytes_s,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("mirrord", description="One node of a mirror: two nodes, the same files on both.")
    parser.add_argument("--config", type=Path, required=True, help="the mirror's TOML file")
    parser.add_argument("--node", help="which of its nodes this is (default: the one with this machine's addresses)")
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info")
    return parser.parse_args()


def main() -> None:
    """The command `mirrord`."""
    arguments = _arguments()
    logs.start(arguments.log_level)
    try:
        config = load_here(arguments.config)
        if os.geteuid() != 0:
            raise MachineError("mirrord must run as root: it mounts over the replicated directories")
        node = machine.find_node(config.nodes, arguments.node)
        lock = hold_farm_lock(config.mirror.name)
        try:
            serve(arguments.config, config, node)
        finally:
            lock.release()
    except FarmError as error:
        sys.exit(f"mirrord: {error}")


if __name__ == "__main__":
    main()
