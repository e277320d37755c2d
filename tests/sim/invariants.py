"""What must hold after every step, whatever the network does (I1 to I4)."""

from __future__ import annotations

from itertools import combinations

from farmd.core.settings import MS, Settings
from farmd.core.view import BUCKETS
from tests.sim.cluster import Cluster, Node

NEVER_HEARD = 1 << 62
EXCLUDED_NS = Settings(1, 100, frozenset()).excluded_ns
GRACE_NS = Settings(1, 100, frozenset()).stale_ns + 25 * MS
EVERY_BUCKET = (1 << BUCKETS) - 1


class ExactlyOne:
    """I1: no bucket is open on two nodes of which at least one has heard the other within D - 3H.

    Out of touch for longer than that in both directions, they are parted and may both be open. The first message
    through ends it: whoever follows the older view closes when it hears the other, and where only one direction works,
    the one that is heard but does not hear is believed after 2H. No overlap may last longer (and one delivery).
    """

    def __init__(self) -> None:
        self.apart: set[tuple[int, int]] = set()
        self.reunited: dict[tuple[int, int], int] = {}

    def __call__(self, cluster: Cluster) -> None:
        for a, b in combinations(cluster.nodes.values(), 2):
            pair = (a.id, b.id)
            in_touch = min(silence_ns(cluster, a, b), silence_ns(cluster, b, a))
            if in_touch > EXCLUDED_NS:
                self.apart.add(pair)
            elif pair in self.apart:
                self.apart.discard(pair)
                self.reunited[pair] = cluster.now
            both = cluster.open_now(a) & cluster.open_now(b)
            if both and in_touch <= EXCLUDED_NS:
                together_ns = cluster.now - self.reunited.get(pair, -GRACE_NS - 1)
                assert together_ns <= GRACE_NS, f"I1: {both.bit_count()} buckets open on n{a.id} and n{b.id}"


def silence_ns(cluster: Cluster, listener: Node, speaker: Node) -> int:
    """How long ago the listener heard the speaker, by the listener's clock."""
    core = listener.core
    if core is None or core.evidence.peers[speaker.id].incarnation is None:
        return NEVER_HEARD
    return cluster.local(listener) - core.evidence.peers[speaker.id].heard_ns


def epochs_rise(cluster: Cluster) -> None:
    """I2: epochs never fall on a node (within one run of its daemon)."""
    for node in cluster.nodes.values():
        if node.core is None:
            node.epochs.clear()
        elif len(node.epochs) > 1:
            assert node.epochs == sorted(node.epochs), f"I2: n{node.id} went back: {node.epochs}"
            del node.epochs[:-1]


def outsiders_are_silent(cluster: Cluster) -> None:
    """I3: a node that is in no view answers nothing."""
    for node in cluster.nodes.values():
        if node.core is not None and node.core.view is None:
            assert cluster.open_now(node) == 0, f"I3: n{node.id} answers without a view"


def converged(cluster: Cluster) -> bool:
    """I4: one view, everybody that runs is in it, and every bucket is open on exactly one of them."""
    running = [node for node in cluster.nodes.values() if node.core is not None]
    views = {node.core.view.epoch if node.core is not None and node.core.view else None for node in running}
    if len(views) != 1 or None in views:
        return False
    first = running[0].core
    assert first is not None
    assert first.view is not None
    if first.view.ids != {node.id for node in running}:
        return False
    opened = 0
    for node in running:
        if opened & node.open_mask:
            return False
        opened |= cluster.open_now(node)
    everybody_rests = all(member.share == 0 for member in first.view.members)
    return opened == (0 if everybody_rests else EVERY_BUCKET)
