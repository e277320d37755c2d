"""The command `mirrord`: one node of a mirror, in the foreground until it is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path

from farmd import identity as machine
from farmd.kit import command
from farmd.kit import log as logs
from farmd.kit.punctual import punctual
from mirrord import identity, orders
from mirrord.application import Application
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
    incarnation = machine.incarnation()
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


def clear(config: Config) -> None:
    """Ends what a mirrord that has died left: its volume, then its application. The covers stay, so nothing passes by
    them until a mirrord takes part again. MachineError if something cannot be ended.
    """
    volume_lock(config.mirror.name).release()
    asyncio.run(_clear(config))


async def _clear(config: Config) -> None:
    await Application(config, on_event=lambda _: None, on_remark=log.info, on_step=lambda: None).clear()


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
        silent_after_s=config.timing.suspect_after_s,
    )


def main() -> None:
    """The command `mirrord`."""
    options = command.options("mirrord", "mirror", "One node of a mirror: two nodes, the same files on both.")
    options.add_argument("--clear", action="store_true", help="only end what a mirrord that has died left running")
    arguments = options.parse_args()
    logs.start(arguments.log_level)
    with command.in_sentences("mirrord"):
        config = load_here(arguments.config)
        with command.sole("mirrord", config.mirror.name, "mounts over the replicated directories"):
            if arguments.clear:
                clear(config)
            else:
                serve(arguments.config, config, machine.find_node(config.nodes, arguments.node))


if __name__ == "__main__":
    main()
