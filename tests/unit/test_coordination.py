"""What the next view is, from what a coordinator knows."""

from __future__ import annotations

from dataclasses import replace

from farmd.core.buckets import ALL_MOVING
from farmd.core.coordination import Situation, next_view
from farmd.core.view import Epoch, Member, View

ONE, TWO, THREE = (Member(id, 100) for id in (1, 2, 3))
FIRST = next_view(
    Epoch(1, 1),
    Situation(None, (ONE, TWO, THREE), frozenset(), False, quiet=True, settled=True, hash_key_id=7),
)


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
