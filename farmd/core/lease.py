"""How long the filter may answer: the rule that keeps two nodes from answering one client.

A peer that has heard nothing from us since our message of time u suspects us at u + D at the earliest, and takes our
buckets then. So whoever may be in that position sets a cap of u + D on our lease:

- a peer that we hear and that echoes old messages: it is losing what we say;
- with `quorum = "majority"`, the peers without whom we would be a minority;
- with a witness, any member that does not confirm us, until the witness answers us.

A peer that is simply silent sets no cap (without quorum and witness): its death must not interrupt a survivor.
"""

from __future__ import annotations

from farmd.core.events import NodeState
from farmd.core.evidence import Evidence
from farmd.core.settings import Settings

NO_CAP = 2**63 - 1


def cap(
    settings: Settings, evidence: Evidence[NodeState], members: frozenset[int], witness_ns: int, now_ns: int
) -> int:
    """The latest time at which the lease may end. In the past: a view without us may be in force, close and rejoin."""
    times = [peer.reckoned_ns for peer in evidence.live(now_ns) if peer.deaf]
    if settings.quorum == "majority":
        times.append(_majority_ns(settings, evidence, now_ns))
    if settings.witness:
        times += [
            max(evidence.peers[member].confirmed_ns, witness_ns)
            for member in members - {settings.node}
            if now_ns - evidence.peers[member].confirmed_ns > settings.stale_ns
        ]
    return min(times) + settings.suspect_ns if times else NO_CAP


def _majority_ns(settings: Settings, evidence: Evidence[NodeState], now_ns: int) -> int:
    """Since when no majority, this node included, is known to have heard us."""
    confirmed = sorted((peer.confirmed_ns for peer in evidence.peers.values()), reverse=True)
    needed = settings.majority - 1
    return confirmed[needed - 1] if needed else now_ns
