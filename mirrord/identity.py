"""The core's view of the configuration, and what of it must be alike on both nodes."""

from __future__ import annotations

import hashlib
import json

from mirrord.config import Config, Node
from mirrord.core.settings import Settings

NS = 1_000_000_000


def settings(config: Config, node: Node, protocol: int) -> Settings:
    """What the core needs to know. `protocol`: the newest version of the stream that this program speaks."""
    timing, mirror = config.timing, config.mirror
    return Settings(
        node=node.id,
        peer=config.peer_of(node).id,
        heartbeat_ns=round(timing.heartbeat_interval_s * NS),
        suspect_ns=round(timing.suspect_after_s * NS),
        lease_ns=round(timing.lease_s * NS),
        witness=bool(mirror.witness),
        prefer=config.node_named(mirror.prefer).id if mirror.prefer else None,
        fingerprint=fingerprint(config),
        protocol=protocol,
        names={other.id: other.name for other in config.nodes},
    )


def fingerprint(config: Config) -> int:
    """Two nodes with different ones do not replicate: a tree would get another one's files, or a node would promise
    what its peer does not keep. The rest may differ for a while, so that it can be changed on one node after the other.
    """
    mirror = config.mirror
    alike = [list(map(str, mirror.directories)), mirror.ack, [[node.id, node.name] for node in config.nodes]]
    text = json.dumps(alike, ensure_ascii=True).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8, person=b"mirrord.alike").digest(), "big")
