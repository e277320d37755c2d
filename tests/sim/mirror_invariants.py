"""What must hold in a mirror after every step, whatever happens to it (M1, M2, M4), and what it comes to in the end.

Serving "alone" is judged by what is true in the simulation, not by what the core believes:

- agreed: the peer's disk says that it will not serve unasked; or does not take that, and the peer was in sync, runs
  and does nothing until it is stored, or has ended and waits when it is back;
- parted: nothing was heard of the peer for D, its last word was said shortly after it had heard this node, this node
  has not stood still since, and the witness, if there is one, has answered since;
- forced by an operator, who then answers for it until the two have heard each other.

Who is outdated goes on alone only if the peer is outdated in the same generation: each was told that the other would
go on without it, and neither did.

Two that parted, both reaching the witness, may both serve: a router's ping is no quorum. What one of them then
acknowledged gives way once they meet; so does what an operator's word gave up. Nothing else acknowledged is ever lost.
"""

from __future__ import annotations

from farmd.core.settings import MS
from mirrord.core.generations import Condition, Relation, State, relation
from mirrord.core.standing import SERVING, Role
from tests.sim.mirror import Mirror
from tests.sim.mirror_node import Node

SLACK_NS = 30 * MS
GRACE_NS = 400 * MS
"""From the first word that gets through until the one that loses has closed: deaf for 2H, and a delivery."""


class Invariants:
    """M1, M2 and M4 of one mirror. Installed by its making."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self._touch_ns = self._reunited_ns = self._forced_ns = -(1 << 62)
        mirror.checks.append(self._one_answers)
        mirror.on_serve = self._serves
        mirror.on_overwrite = self._overwrites
        mirror.on_store = self._stores
        mirror.on_apply = self._applies

    # -- M1 ------------------------------------------------------------------------------------------------------------

    def _one_answers(self, mirror: Mirror) -> None:
        """M1: clients reach at most one of two nodes, of which one has heard the other within D - 3H."""
        first, second = mirror.nodes[1], mirror.nodes[2]
        touch_ns = max(first.heard_ns, second.heard_ns)
        core = first.core or second.core
        if core is None:
            return
        excluded_ns = core.settings.excluded_ns
        if touch_ns - self._touch_ns > excluded_ns:
            self._reunited_ns = mirror.now
        self._touch_ns = max(self._touch_ns, touch_ns)
        if not mirror.answers(first) or not mirror.answers(second):
            return
        for node in (first, second):
            in_sync = node.core is not None and node.core.role is Role.PRIM
            slept = node.awake_ns > node.heard_ns
            assert not in_sync or not slept, f"M1: clients reach both nodes; n{node.id} stood still"
        both_know = min(first.heard_ns, second.heard_ns) > self._forced_ns
        if mirror.now - self._touch_ns <= excluded_ns and both_know:
            together_ns = mirror.now - self._reunited_ns
            assert together_ns <= GRACE_NS, "M1: clients reach both nodes"

    # -- how a node comes to serve -------------------------------------------------------------------------------------

    def _stores(self, node: Node, state: State) -> None:
        """M1: a generation begins agreed, parted or forced. M4: and not with outdated data, unless forced."""
        if state.condition is not Condition.ALONE:
            return
        if node.forced:
            node.forced = False
            self._forced_ns = self.mirror.now
            self._give_up(node)
            return
        peer = self.mirror.other(node)
        first = node.state.condition is peer.state.condition is Condition.BLANK
        neither = node.state.condition is peer.state.condition is Condition.OUTDATED and not node.torn
        neither = neither and node.state.generation == peer.state.generation
        assert node.state.may_serve or first or neither, f"M4: n{node.id} goes on alone, and is {node.state.condition}"
        if peer.state.may_serve and not _yields(peer):
            self._judge_parting(node, f"M1: n{node.id} goes on alone, and n{peer.id} is {peer.state.condition}")

    def _judge_parting(self, node: Node, what: str) -> None:
        assert node.core is not None
        settings, now = node.core.settings, self.mirror.now
        assert now - node.heard_ns >= settings.suspect_ns - SLACK_NS, f"{what}: heard just now"
        assert node.heard_gap_ns <= settings.suspect_ns - 2 * settings.heartbeat_ns, f"{what}: was not heard before"
        assert node.awake_ns <= node.heard_ns + SLACK_NS, f"{what}: stood still"
        if settings.witness:
            assert node.witnessed_ns >= node.heard_ns + settings.suspect_ns - SLACK_NS, f"{what}: not witnessed"

    # -- M2, M4 --------------------------------------------------------------------------------------------------------

    def _serves(self, node: Node) -> None:
        """M2: who begins to serve has all that was acknowledged. M4: and knows it."""
        assert node.state.may_serve, f"M4: n{node.id} serves with data that is {node.state.condition}"
        assert not node.torn, f"M2: n{node.id} serves in the middle of a resync"
        self._lose(node, node.data)

    def _overwrites(self, node: Node, leader: Node, snapshot: set[int]) -> None:
        """M2: what a resync overwrites was not acknowledged, or by the side that gives way. One that stood still may
        read late what was sent to it: the leader has more by then, which is not lost."""
        self._lose(leader, snapshot | leader.data)

    def _applies(self, node: Node) -> None:
        """M2: who has begun a generation applies nothing of its peer's: that would be acknowledged as if it counted."""
        alone = node.state.condition is Condition.ALONE
        assert not alone, f"M2: n{node.id} applies a change, and has a generation of its own"

    def _lose(self, node: Node, data: set[int]) -> None:
        """All that is not in `data` is lost as soon as this node is the one whose data counts."""
        acknowledged = self.mirror.acknowledged
        for write in acknowledged.keys() - data:
            apart = relation(node.state, acknowledged[write]) is Relation.APART
            assert apart, f"M2: n{node.id} counts, and has not the write {write} that was acknowledged"
            del acknowledged[write]

    def _give_up(self, node: Node) -> None:
        """An operator's word: what is not here is given up."""
        for write in self.mirror.acknowledged.keys() - node.data:
            del self.mirror.acknowledged[write]
        node.torn = False


def _yields(node: Node) -> bool:
    waits = node.core is None or node.core.role is Role.WAIT
    return node.state.condition is Condition.INSYNC and (waits or (node.core is not None and node.core.machine.yields))


def at_rest(mirror: Mirror) -> bool:
    """One serves and is well, the other is in sync, and both have the same."""
    cores = [node.core for node in mirror.nodes.values()]
    if any(core is None for core in cores):
        return False
    roles = sorted(core.role for core in cores if core is not None)
    if roles != [Role.PRIM, Role.SECOND] or not all(core.in_sync for core in cores if core is not None):
        return False
    return all(mirror.answers(node) == (node.core is not None and node.core.role in SERVING)
               for node in mirror.nodes.values())  # fmt: skip


def undecided(mirror: Mirror) -> bool:
    """Whether an operator must say whose data counts: what is on the disks of two nodes that wait does not tell."""
    cores = [node.core for node in mirror.nodes.values() if node.core is not None]
    if len(cores) < 2 or any(core.role is not Role.WAIT or core.machine.writing is not None for core in cores):
        return False
    if any(core.machine.volume.opened is None for core in cores):
        return False
    first, second = cores
    return "promote the node whose data is right" in first.verdict(second.word()).why
