"""Who owns which bucket, and what a node does with each of them.

`assign` gives every bucket one owner, keeps each share within one bucket of its exact weight and moves no bucket that
need not move. `states`, `release` and `opens` turn a view into what one node's filter does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

from farmd.core.view import BUCKETS, NOBODY, View


class State(IntEnum):
    """The bucket states of the filter, in its own numbers; a test compares them with bpf/farm.h."""

    OTHER = 0
    OWNED = 1
    DRAINING = 2
    FILLING = 3


OPEN = frozenset({State.OWNED, State.FILLING})
"""States that take new flows."""

CLOSED = bytes([State.OTHER]) * BUCKETS
UNOWNED = bytes([NOBODY]) * BUCKETS
ALL_MOVING = (1 << BUCKETS) - 1


def targets(weights: Mapping[int, int], held: Mapping[int, int], buckets: int = BUCKETS) -> dict[int, int]:
    """How many buckets each node shall own: its exact share rounded down or up.

    The buckets left over by rounding down go first to nodes that hold more than their share, since whatever they keep
    need not move, then to the largest fractions, then to the lowest numbers.
    """
    total = sum(weights.values())
    if total == 0:
        return dict.fromkeys(weights, 0)
    floors = {node: weight * buckets // total for node, weight in weights.items()}
    fractions = {node: weight * buckets % total for node, weight in weights.items()}
    left_over = buckets - sum(floors.values())
    by_claim = sorted(
        (node for node in weights if fractions[node]),
        key=lambda node: (held.get(node, 0) <= floors[node], -fractions[node], node),
    )
    for node in by_claim[:left_over]:
        floors[node] += 1
    return floors


def assign(weights: Mapping[int, int], previous: bytes) -> bytes:
    """The owner of every bucket.

    `weights` are the members' numbers and weights; zero means member, owns nothing. `previous` are the owners until
    now. Pure and deterministic: equal arguments give equal tables on every node.
    """
    held = {node: previous.count(node) for node in weights}
    wanted = targets(weights, held, len(previous))
    owners = bytearray(previous)
    keeps = dict(wanted)
    free = []
    for bucket, owner in enumerate(previous):
        if keeps.get(owner, 0) > 0:
            keeps[owner] -= 1
        else:
            free.append(bucket)
    if not any(wanted.values()):
        return bytes([NOBODY]) * len(previous)
    for bucket, node in zip(free, _in_turn(keeps), strict=True):
        owners[bucket] = node
    return bytes(owners)


def _in_turn(missing: Mapping[int, int]) -> Iterable[int]:
    """Each node as often as it lacks buckets, one round after the other, so that neighbours end up apart."""
    left = {node: count for node, count in sorted(missing.items()) if count > 0}
    while left:
        yield from left
        left = {node: count - 1 for node, count in left.items() if count > 1}


def moved(before: bytes, after: bytes, living: Iterable[int]) -> int:
    """A bit for every bucket that a living node had before and another one has after: its old flows still live."""
    holders = frozenset(living)
    bits = 0
    for bucket, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new and old in holders:
            bits |= 1 << bucket
    return bits


def states(view: View, node: int) -> bytes:
    """What `node` does with every bucket once the view is in force.

    No history is needed: in a moving bucket everybody but the owner passes the flows it has, and only those.
    """
    mine = _pick(view.moving, State.FILLING, State.OWNED)
    others = _pick(view.moving, State.DRAINING, State.OTHER)
    return bytes(mine[bucket] if owner == node else others[bucket] for bucket, owner in enumerate(view.owners))


def release(current: bytes, view: View, node: int, *, same_hash: bool) -> bytes:
    """The table between two views: all that others get is closed, nothing that is gained is open yet.

    When the hash of clients changes, a bucket's number means other clients than before, so none may stay open.
    """
    final = states(view, node)
    closed = _pick(view.moving, State.DRAINING, State.OTHER)
    return bytes(
        new if same_hash and new in OPEN and old in OPEN else closed[bucket]
        for bucket, (old, new) in enumerate(zip(current, final, strict=True))
    )


def holds(current: bytes, view: View, node: int, *, same_hash: bool) -> bool:
    """Whether `node` has buckets open that the view gives to others."""
    if not same_hash:
        return any(state in OPEN for state in current)
    return any(state in OPEN and owner != node for state, owner in zip(current, view.owners, strict=True))


def _pick(bits: int, if_set: State, if_clear: State) -> bytes:
    """A state for every bucket, by its bit."""
    text = f"{bits:0{BUCKETS}b}"[::-1]
    return bytes(if_set if bit == "1" else if_clear for bit in text)
