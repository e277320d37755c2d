"""What the next view is, from what a coordinator knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farmd.core.buckets import ALL_MOVING
from farmd.core.coordination import Candidate, Situation, members, next_view, taken_from
from farmd.core.view import Epoch, Member, View

ONE, TWO, THREE = (Member(id, 100) for id in (1, 2, 3))
FIRST = next_view(
    Epoch(1, 1),
    Situation(None, (ONE, TWO, THREE), frozenset(), False, quiet=True, settled=True, hash_key_id=7),
)


@pytest.mark.parametrize(
    ("candidates", "owners"),
    [
        ({1: (100, False, 0), 2: (100, False, 0)}, {1, 2}),
        ({1: (100, False, 1), 2: (100, False, 0)}, {2}),
        ({1: (100, False, 1), 2: (100, False, 1)}, {1, 2}),
        ({1: (100, False, 2), 2: (100, False, 1), 3: (100, False, 1)}, {2, 3}),
        ({1: (100, False, 1), 2: (100, True, 0)}, {1}),
        ({1: (100, False, 1), 2: (0, False, 0)}, {1}),
        ({1: (100, True, 0), 2: (0, False, 0)}, set()),
        ({1: (100, False, 3)}, {1}),
        ({1: (100, True, 0)}, set()),
    ],
)
def test_of_those_who_may_own_buckets_those_do_of_which_the_fewest_checks_fail(
    candidates: dict[int, tuple[int, bool, int]], owners: set[int]
) -> None:
    """By number: weight, whether it drains, and how many checks fail."""
    counted = members(Candidate(node, *known) for node, known in candidates.items())
    assert {member.id for member in counted if member.share} == owners
    assert {member.id: member.weight for member in counted} == {node: known[0] for node, known in candidates.items()}


def test_buckets_of_nodes_that_fail_are_taken_by_those_who_have_them_then() -> None:
    dead = after(FIRST, ONE, Member(3, 0), settled=False)
    assert taken_from(FIRST, dead, 1) == {2}
    assert taken_from(FIRST, dead, 3) == frozenset(), "it owns nothing"
    assert taken_from(dead, after(dead, ONE, settled=False), 1) == frozenset(), "node 3 had none"
    drained = after(FIRST, ONE, Member(2, 100, draining=True), THREE, settled=False)
    assert taken_from(FIRST, drained, 1) == frozenset(), "what is given is not taken"


def after(base: View, *members: Member, settled: bool, hash_key_id: int = 7) -> View:
    situation = Situation(
        base, members, frozenset(), False, quiet=False, settled=settled, hash_key_id=hash_key_id
    )  # fmt: skip
    return next_view(Epoch(base.epoch.number + 1, 1), situation)


def test_a_node_that_fails_in_an_old_view_is_taken_for_dead() -> None:
    """So nobody is silent about flows that were its own: their clients are told by resets."""
    view = after(FIRST, ONE, THREE, settled=True)
    assert (view.failed, view.moving) == (frozenset({2}), 0)


def test_a_node_that_stays_away_is_taken_for_cut_off() -> None:
    """It may serve flows that come here once the cut heals."""
    without = after(FIRST, ONE, THREE, settled=True)
    assert after(without, ONE, THREE, settled=False).moving == 0
    view = after(without, ONE, THREE, settled=True)
    assert (view.failed, view.moving) == (frozenset({2}), ALL_MOVING)
    assert after(replace(view, moving=0), ONE, THREE, settled=True).moving == ALL_MOVING


def test_a_new_hash_moves_every_bucket() -> None:
    assert after(FIRST, ONE, TWO, THREE, settled=False, hash_key_id=8).moving == ALL_MOVING
