"""What a view means for one node's filter, and what a node closes between two views."""

from __future__ import annotations

import pytest

from farmd.core import buckets
from farmd.core.buckets import CLOSED, UNOWNED, State, assign, holds, moved, release, states, targets
from farmd.core.view import BUCKETS, Epoch, Member, View

OTHER, OWNED, DRAINING, FILLING = State


def view(owners: bytes, moving: int = 0, key: int = 0) -> View:
    """A view of nodes 1 and 2; `owners` are those of the first buckets, the rest is node 1's."""
    members = (Member(1, 100), Member(2, 100))
    return View(Epoch(7, 1), members, owners.ljust(BUCKETS, b"\1"), moving, frozenset(), key)


def first(table: bytes, count: int) -> list[State]:
    return [State(state) for state in table[:count]]


def table(*first_states: State) -> bytes:
    return bytes(first_states).ljust(BUCKETS, bytes([OTHER]))


def test_a_settled_bucket_is_its_owners_alone() -> None:
    agreed = view(bytes([1, 2]))
    assert first(states(agreed, 1), 2) == [OWNED, OTHER]
    assert first(states(agreed, 2), 2) == [OTHER, OWNED]


def test_a_moving_bucket_is_filled_by_its_owner_and_drained_by_all_others() -> None:
    agreed = view(bytes([1, 2]), moving=0b11)
    assert first(states(agreed, 1), 3) == [FILLING, DRAINING, OWNED]
    assert first(states(agreed, 2), 3) == [DRAINING, FILLING, OTHER]


def test_nobody_opens_what_nobody_owns() -> None:
    assert states(view(UNOWNED), 1) == CLOSED


def test_release_closes_what_is_lost_and_opens_nothing_that_is_gained() -> None:
    current = table(OWNED, OTHER, OWNED)
    between = release(current, view(bytes([2, 1, 1]), moving=0b011), 1, same_hash=True)
    assert first(between, 3) == [DRAINING, DRAINING, OWNED]


def test_release_lets_old_flows_pass_only_where_the_view_says_that_some_live() -> None:
    assert first(release(table(OWNED), view(bytes([2])), 1, same_hash=True), 1) == [OTHER]


def test_release_already_shows_what_stays_in_its_new_state() -> None:
    assert first(release(table(OWNED), view(bytes([1]), moving=1), 1, same_hash=True), 1) == [FILLING]
    assert first(release(table(FILLING), view(bytes([1])), 1, same_hash=True), 1) == [OWNED]


def test_release_closes_everything_when_buckets_come_to_mean_other_clients() -> None:
    between = release(table(OWNED, OTHER), view(bytes([1, 1]), moving=0b1), 1, same_hash=False)
    assert first(between, 2) == [DRAINING, OTHER]
    assert not any(state in buckets.OPEN for state in between)


def test_who_has_a_bucket_open_that_others_get_holds_it() -> None:
    assert holds(table(OTHER, OWNED), view(bytes([1, 2])), 1, same_hash=True)
    assert holds(table(OTHER, FILLING), view(bytes([1, 2])), 1, same_hash=True)


def test_who_has_only_its_own_open_holds_nothing() -> None:
    assert not holds(table(OWNED, DRAINING), view(bytes([1, 2])), 1, same_hash=True)
    assert not holds(CLOSED, view(bytes([2, 2])), 1, same_hash=True)


def test_with_another_hash_whatever_is_open_is_held() -> None:
    assert holds(table(OWNED), view(bytes([1])), 1, same_hash=False)
    assert not holds(table(DRAINING), view(bytes([1])), 1, same_hash=False)


def test_only_buckets_of_the_living_move() -> None:
    assert moved(bytes([1, 2, 3, 3]), bytes([2, 2, 1, 3]), living={1, 2}) == 0b0001
    assert moved(bytes([1, 2, 3, 3]), bytes([2, 2, 1, 3]), living={1, 2, 3}) == 0b0101


def test_a_bucket_that_nobody_owned_has_no_old_flows() -> None:
    assert moved(bytes([0]), bytes([1]), living={1, 2}) == 0


def test_what_is_left_over_by_rounding_stays_where_it_is() -> None:
    weights = {1: 1, 2: 1, 3: 1}
    assert targets(weights, {}, 10) == {1: 4, 2: 3, 3: 3}
    assert targets(weights, {1: 3, 2: 3, 3: 4}, 10) == {1: 3, 2: 3, 3: 4}


def test_the_first_share_out_puts_neighbours_apart() -> None:
    assert assign({1: 1, 2: 1, 3: 2}, bytes(8)) == bytes([1, 2, 3, 1, 2, 3, 3, 3])


def test_a_dead_nodes_buckets_are_shared_out_and_no_others() -> None:
    before = assign({1: 1, 2: 1, 3: 1}, UNOWNED)
    after = assign({1: 1, 3: 1}, before)
    assert all(old in (2, new) for old, new in zip(before, after, strict=True))


def test_where_nobody_has_weight_nobody_owns() -> None:
    assert assign({1: 0, 2: 0}, assign({1: 1, 2: 1}, UNOWNED)) == UNOWNED


@pytest.mark.parametrize("moving", [1 << BUCKETS, -1])
def test_a_view_speaks_of_its_buckets_only(moving: int) -> None:
    with pytest.raises(AssertionError):
        view(bytes([1]), moving=moving)
