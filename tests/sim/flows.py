"""Clients with established flows, and what a farm must never do to them.

A flow lives on the node that took its SYN. It is broken for good when another node resets it: that node has its bucket
OWNED, and passes its packets to a kernel that knows nothing of them. It is interrupted while its own node drops it, and
lives if that does not last.
"""

from __future__ import annotations

from collections.abc import Iterable

from farmd.core.buckets import State
from farmd.core.settings import MS
from tests.sim.cluster import Cluster
from tests.sim.invariants import EVERY_BUCKET
from tests.sim.node import Node, mask

OWNED = frozenset({State.OWNED})
OTHER = frozenset({State.OTHER})


class Clients:
    """All established flows of a cluster, as a bit for every bucket of every node; a check for the cluster.

    A client is where its holder is: what the holder cannot reach does not hear it. `interruption_ms_max` is how long a
    holder may drop the packets of its flows; clients repeat them.
    """

    def __init__(self, cluster: Cluster, interruption_ms_max: float = 0) -> None:
        self.cluster = cluster
        self.interruption_ns_max = int(interruption_ms_max * MS)
        self.on = dict.fromkeys(cluster.nodes, 0)
        """The buckets in which a node holds flows."""
        self.refused = 0
        """Buckets that were open nowhere when a client came."""
        self._interrupted_ns: dict[int, int] = {}
        cluster.flows_elsewhere = self._elsewhere
        cluster.checks.append(self)

    def connect(self, reachable: Iterable[int] = ()) -> None:
        """One client for each bucket comes; to all nodes, or to those it can reach."""
        taken = 0
        for node in reachable or self.cluster.nodes:
            opened = self.cluster.open_now(self.cluster.nodes[node])
            assert not opened & taken, f"n{node} answers a SYN that another node answers, too"
            self.on[node] |= opened
            taken |= opened
        self.refused += (EVERY_BUCKET & ~taken).bit_count()

    def end(self, *ids: int) -> None:
        """The flows of these nodes end, or all."""
        for node in ids or self.on:
            self.on[node] = 0

    def _elsewhere(self, node: Node) -> bool:
        return bool(self.on[node.id] & ~node.open_mask)

    def __call__(self, cluster: Cluster) -> None:
        for holder in cluster.nodes.values():
            flows = self.on[holder.id]
            for node in cluster.nodes.values() if flows else ():
                if node is not holder and (holder.id, node.id) not in cluster.broken and cluster.answers(node):
                    reset = (flows & mask(node.table, OWNED)).bit_count()
                    assert not reset, f"I5: n{node.id} resets flows of n{holder.id} in {reset} buckets"
            self._note_interruption(holder, flows)

    def _note_interruption(self, holder: Node, flows: int) -> None:
        if not flows or (self.cluster.answers(holder) and not flows & mask(holder.table, OTHER)):
            self._interrupted_ns.pop(holder.id, None)
            return
        lasts_ns = self.cluster.now - self._interrupted_ns.setdefault(holder.id, self.cluster.now)
        assert lasts_ns <= self.interruption_ns_max, f"I5: n{holder.id} drops flows of its own"


class Gaps:
    """How long buckets are closed everywhere; a check for the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.longest_ms = 0.0
        self.closed = 0
        self._since_ns: dict[int, int] = {}
        cluster.checks.append(self)

    def __call__(self, cluster: Cluster) -> None:
        opened = 0
        for node in cluster.nodes.values():
            opened |= cluster.open_now(node)
        closed = EVERY_BUCKET & ~opened
        for bucket in bits(closed & ~self.closed):
            self._since_ns[bucket] = cluster.now
        for bucket in bits(self.closed & ~closed):
            self.longest_ms = max(self.longest_ms, (cluster.now - self._since_ns.pop(bucket)) / MS)
        self.closed = closed


def bits(flags: int) -> list[int]:
    """The positions of the bits that are set."""
    return [bucket for bucket, bit in enumerate(f"{flags:b}"[::-1]) if bit == "1"]
