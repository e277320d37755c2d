"""What must hold after every step, whatever the network does (I1 to I4, I6)."""

from __future__ import annotations

from farmd.core.settings import MS, Settings
from farmd.core.view import BUCKETS
from tests.sim.cluster import Cluster
from tests.sim.node import Node

NEVER = -(1 << 62)
DEFAULT = Settings(1, 100, frozenset())
EXCLUDED_NS = DEFAULT.excluded_ns
GRACE_NS = DEFAULT.stale_ns + 25 * MS
EVERY_BUCKET = (1 << BUCKETS) - 1
DRIFT_NS = MS // 2
"""How far two clocks may run apart during a suspicion time."""


class ExactlyOne:
    """I1: no bucket is open on two nodes of which at least one has heard the other within D - 3H.

    Out of touch for longer than that in both directions, they are parted and may both be open, unless quorum or witness
    forbid it. The first message through ends it: whoever follows the older view closes when it hears the other, and
    where only one direction works, the one that is heard but does not hear is believed after 2H. No overlap may last
    longer (and one delivery).

    With `quorum = "majority"` no bucket is ever open on two nodes. With a witness one of the parted who still counts on
    the other needs the witness's word, no older than D, for every moment of an overlap.

    Only the node that a step has touched can have changed; overlaps that are still excused are looked at every time.
    """

    def __init__(self) -> None:
        self._touch_ns: dict[tuple[int, int], int] = {}
        """When one of the two last heard the other."""
        self._reunited_ns: dict[tuple[int, int], int] = {}
        self._excused: set[tuple[int, int]] = set()

    def __call__(self, cluster: Cluster) -> None:
        touched = cluster.touched
        assert touched is not None
        for other in cluster.nodes.values():
            if other is not touched:
                self._notice_touch(cluster.now, *in_order(touched, other))
                self._judge(cluster, *in_order(touched, other))
        for a, b in tuple(self._excused):
            self._judge(cluster, cluster.nodes[a], cluster.nodes[b])

    def _notice_touch(self, now_ns: int, a: Node, b: Node) -> None:
        touch_ns = max(a.heard_ns.get(b.id, NEVER), b.heard_ns.get(a.id, NEVER))
        before_ns = self._touch_ns.get((a.id, b.id), NEVER)
        if touch_ns - before_ns > EXCLUDED_NS:
            self._reunited_ns[a.id, b.id] = now_ns
        self._touch_ns[a.id, b.id] = touch_ns

    def _judge(self, cluster: Cluster, a: Node, b: Node) -> None:
        self._excused.discard((a.id, b.id))
        both = a.open_mask & b.open_mask
        if not both or not cluster.answers(a) or not cluster.answers(b):
            return
        where = f"{both.bit_count()} buckets open on n{a.id} and n{b.id}"
        assert cluster.settings.get("quorum") != "majority", f"I1: {where} in spite of the quorum"
        if cluster.now - self._touch_ns[a.id, b.id] <= EXCLUDED_NS:
            together_ns = cluster.now - self._reunited_ns.get((a.id, b.id), NEVER)
            assert together_ns <= GRACE_NS, f"I1: {where}"
        elif cluster.settings.get("witness"):
            for node, gone in ((a, b), (b, a)):
                assert may_go_on(cluster, node, gone), f"I1: {where}, and the witness did not answer n{node.id}"
        self._excused.add((a.id, b.id))


def in_order(a: Node, b: Node) -> tuple[Node, Node]:
    return (a, b) if a.id < b.id else (b, a)


def may_go_on(cluster: Cluster, node: Node, gone: Node) -> bool:
    """Whether a node may answer without another: it has agreed to do without it, or the witness answers."""
    view = node.core.view if node.core is not None else None
    counts_on = view is not None and gone.id in view.ids
    return not counts_on or cluster.now - node.witnessed_ns <= DEFAULT.suspect_ns + DRIFT_NS


def epochs_rise(cluster: Cluster) -> None:
    """I2: epochs never fall on a node (within one run of its daemon)."""
    node = cluster.touched
    assert node is not None
    if len(node.epochs) > 1:
        assert node.epochs == sorted(node.epochs), f"I2: n{node.id} went back: {node.epochs}"
        del node.epochs[:-1]


class ReleasedStays:
    """I6: a node that is not ready and has released its buckets opens none until it is ready again. So what serves them
    may be stopped then."""

    def __init__(self) -> None:
        self._released: set[int] = set()

    def __call__(self, cluster: Cluster) -> None:
        node = cluster.touched
        assert node is not None
        if node.core is None or node.core.standing.ready:
            self._released.discard(node.id)
        elif node.id in self._released:
            assert not node.open_mask, f"I6: n{node.id} opens buckets that it has released, and is not ready"
        elif node.core.released:
            self._released.add(node.id)


def outsiders_are_silent(cluster: Cluster) -> None:
    """I3: a node that is in no view answers nothing."""
    node = cluster.touched
    assert node is not None
    if node.core is not None and node.core.view is None:
        assert cluster.open_now(node) == 0, f"I3: n{node.id} answers without a view"


def converged(cluster: Cluster) -> bool:
    """I4: one view, all that run are in it, and every bucket is open on exactly one of those who are able, shared as
    weighed."""
    running = [node for node in cluster.nodes.values() if node.core is not None]
    views = {node.core.view for node in running if node.core is not None}
    view = views.pop() if len(views) == 1 else None
    if view is None or view.ids != {node.id for node in running}:
        return False
    opened = 0
    for node in running:
        if opened & node.open_mask:
            return False
        opened |= cluster.open_now(node)
    weights = able(running)
    total = sum(weights.values())
    if total == 0:
        return opened == 0
    exact = {node.id: weights.get(node.id, 0) * BUCKETS / total for node in running}
    fair = all(abs(view.owners.count(node) - share) < 1 for node, share in exact.items())
    return fair and opened == EVERY_BUCKET


def able(running: list[Node]) -> dict[int, int]:
    """The weights of the nodes that should own buckets, by what each was told and found, not by what it says."""
    candidates = {node.id: len(node.health.failing) for node in running if weight_of(node)}
    fewest = min(candidates.values(), default=0)
    return {node.id: weight_of(node) for node in running if candidates.get(node.id) == fewest}


def weight_of(node: Node) -> int:
    """The weight of a node as far as it may own buckets at all."""
    core = node.core
    assert core is not None
    gives_away = core.leaving or core.orders.drained(node.id) or not node.health.ready
    return 0 if gives_away else core.orders.weight(node.id, core.settings.weight)
