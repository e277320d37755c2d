"""The assignment for any weights and any history."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from farmd.core.buckets import assign, targets
from farmd.core.view import BUCKETS, NOBODY

weights_of = st.dictionaries(st.integers(1, 255), st.integers(0, 1000), min_size=1, max_size=32)


@st.composite
def histories(draw: st.DrawFn, buckets: int = BUCKETS) -> bytes:
    """Any owners, members or not: stretches of equal ones, as a real history has them, or a wild mixture."""
    owners = draw(st.lists(st.integers(0, 255), min_size=1, max_size=12))
    shape = draw(st.randoms(use_true_random=False))
    if draw(st.booleans()):
        return bytes(shape.choice(owners) for _ in range(buckets))
    return bytes(sorted(shape.choice(owners) for _ in range(buckets)))


@st.composite
def grown(draw: st.DrawFn) -> bytes:
    """Owners as a farm's life brings them about: one assignment after another."""
    owners = bytes(BUCKETS)
    for weights in draw(st.lists(weights_of, min_size=1, max_size=4)):
        owners = assign(weights, owners)
    return owners


def fewest_moves(weights: dict[int, int], previous: bytes) -> int:
    """The lower bound: whoever's share is a node's exact one, rounded down or up, keeps as much as it may.

    Each node can keep what it holds up to its rounded-down share, and one more where there is a left-over bucket for
    it; there are only so many of those.
    """
    buckets, total = len(previous), sum(weights.values())
    floors = {node: weight * buckets // total for node, weight in weights.items()}
    kept = sum(min(previous.count(node), floor) for node, floor in floors.items())
    could_use = sum(previous.count(node) > floors[node] and weights[node] * buckets % total > 0 for node in weights)
    return buckets - kept - min(could_use, buckets - sum(floors.values()))


def moves(before: bytes, after: bytes) -> int:
    return sum(old != new for old, new in zip(before, after, strict=True))


@given(weights_of, histories() | grown())
def test_every_bucket_has_one_owner_who_is_a_member_with_weight(weights: dict[int, int], previous: bytes) -> None:
    owners = assign(weights, previous)
    assert len(owners) == len(previous)
    if any(weights.values()):
        assert all(weights.get(owner, 0) > 0 for owner in set(owners))
    else:
        assert set(owners) == {NOBODY}


@given(weights_of, histories() | grown())
def test_every_share_is_within_one_bucket_of_its_weight(weights: dict[int, int], previous: bytes) -> None:
    owners, total = assign(weights, previous), sum(weights.values())
    for node, weight in weights.items():
        assert total == 0 or abs(owners.count(node) * total - weight * BUCKETS) < total


@given(weights_of.filter(lambda weights: any(weights.values())), histories() | grown())
def test_no_bucket_moves_that_need_not(weights: dict[int, int], previous: bytes) -> None:
    assert moves(previous, assign(weights, previous)) == fewest_moves(weights, previous)


@given(
    st.dictionaries(st.integers(1, 3), st.integers(0, 5), min_size=1).filter(lambda weights: any(weights.values())),
    st.lists(st.integers(0, 4), min_size=1, max_size=6).map(bytes),
)
def test_the_lower_bound_is_what_trying_all_tables_finds(weights: dict[int, int], previous: bytes) -> None:
    buckets, total = len(previous), sum(weights.values())
    fair = (
        bytes(table)
        for table in product(weights, repeat=buckets)
        if all(abs(table.count(node) * total - weight * buckets) < total for node, weight in weights.items())
    )
    assert moves(previous, assign(weights, previous)) == min(moves(previous, table) for table in fair)


@given(weights_of, histories())
def test_the_order_in_which_members_are_named_does_not_matter(weights: dict[int, int], previous: bytes) -> None:
    assert assign(dict(reversed(weights.items())), previous) == assign(weights, previous)


@given(weights_of, histories())
def test_once_assigned_nothing_moves_again(weights: dict[int, int], previous: bytes) -> None:
    owners = assign(weights, previous)
    assert assign(weights, owners) == owners


@given(weights_of, st.integers(1, 3000))
def test_all_buckets_are_wanted_by_somebody(weights: dict[int, int], buckets: int) -> None:
    wanted = targets(weights, {}, buckets)
    assert sum(wanted.values()) == (buckets if any(weights.values()) else 0)
    assert all(count == 0 for node, count in wanted.items() if weights[node] == 0)
