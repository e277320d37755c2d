"""Views: their order, and what of them counts as the agreement."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farmd.core.view import BUCKETS, NEVER, Epoch, Member, View

VIEW = View(Epoch(3, 1), (Member(1, 100), Member(4, 0, draining=True)), bytes([1]) * BUCKETS)


def test_epochs_are_ordered_by_number_then_coordinator() -> None:
    unordered = [Epoch(2, 1), Epoch(1, 9), NEVER, Epoch(2, 3)]
    assert sorted(unordered) == [NEVER, Epoch(1, 9), Epoch(2, 1), Epoch(2, 3)]
    assert Epoch(1, 9) < Epoch(2, 1) <= Epoch(2, 1)
    assert Epoch(2, 3) > Epoch(2, 1)


def test_an_epoch_reads_as_number_and_coordinator() -> None:
    assert str(Epoch(12, 3)) == "12.3"


def test_members_are_found_by_their_number() -> None:
    assert VIEW.ids == {1, 4}
    assert VIEW.member(4) == Member(4, 0, draining=True)
    assert VIEW.member(2) is None


def test_a_draining_member_has_no_share() -> None:
    assert Member(1, 70).share == 70
    assert Member(1, 70, draining=True).share == 0


def test_the_epoch_is_no_part_of_the_agreement() -> None:
    assert VIEW.same_agreement(replace(VIEW, epoch=Epoch(9, 2)))


@pytest.mark.parametrize(
    "difference",
    [
        {"members": (Member(1, 100), Member(4, 0))},
        {"owners": bytes([4]) * BUCKETS},
        {"moving": 1},
        {"failed": frozenset({2})},
        {"hash_key_id": 5},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_everything_else_is(difference: dict[str, object]) -> None:
    assert not VIEW.same_agreement(replace(VIEW, **difference))  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, BUCKETS - 1, BUCKETS + 1])
def test_a_view_names_the_owner_of_every_bucket(count: int) -> None:
    with pytest.raises(AssertionError):
        replace(VIEW, owners=bytes(count))
