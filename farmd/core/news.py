"""What is worth a line in the log although no view has changed yet: often the reason why one will."""

from __future__ import annotations

from farmd.core.events import NodeState
from farmd.core.evidence import Evidence
from farmd.core.settings import Settings
from farmd.core.standing import Standing

S = 1_000_000_000
"""Nanoseconds in a second."""

Health = tuple[bool, tuple[str, ...]]
"""Whether a node is ready, and its failing checks."""
WELL: Health = (True, ())


class News:
    """Tells what has changed since it was asked last."""

    def __init__(self, settings: Settings) -> None:
        self.silent: frozenset[int] = frozenset()
        """The peers that have been silent for the suspicion time."""
        self._settings = settings
        self._health: dict[int, Health] = {}
        self._drains = False

    def since(self, now_ns: int, evidence: Evidence[NodeState], standing: Standing) -> list[str]:
        """In words, for this node's log."""
        return [*self._hearing(evidence.suspects(now_ns)), *self._well_being(evidence), *self._drain(standing, now_ns)]

    def _hearing(self, silent: frozenset[int]) -> list[str]:
        lost, found = sorted(silent - self.silent), sorted(self.silent - silent)
        self.silent = silent
        return [*(self._of(node, "is silent") for node in lost), *(self._of(node, "is heard") for node in found)]

    def _well_being(self, evidence: Evidence[NodeState]) -> list[str]:
        """Of the peers; what becomes of this node's own checks its supervision tells in more words."""
        states = {peer.id: peer.state for peer in evidence.peers.values() if peer.state is not None}
        said = {node: (state.ready, state.failing) for node, state in states.items()}
        changed = [node for node, health in said.items() if health != self._health.get(node, WELL)]
        self._health = said
        return [self._of(node, in_words(said[node])) for node in changed]

    def _drain(self, standing: Standing, now_ns: int) -> list[str]:
        drains_at_ns, known = standing.drains_at_ns, self._drains
        self._drains = drains_at_ns is not None
        if drains_at_ns is None:
            return ["the drain is taken back"] if known else []
        reason = "this node is about to leave" if standing.leaving else "this node is to be drained"
        ahead = f"; its buckets move in {(drains_at_ns - now_ns) / S:g} s" if drains_at_ns > now_ns else ""
        return [] if known else [reason + ahead]

    def _of(self, node: int, what: str) -> str:
        return f"node {self._settings.name_of(node)} {what}"


def in_words(health: Health) -> str:
    ready, failing = health
    state = "is ready" if ready else "is not ready"
    return f"{state} (failing: {', '.join(failing)})" if failing else state
