"""How two pasts stand to each other."""

from __future__ import annotations

from mirrord.core.generations import HISTORY_MAX, Condition, Generation, Relation, State, relation
from tests.unit.mirror_words import ALONE, INSYNC, OUTDATED


def test_a_node_that_goes_on_alone_is_ahead_of_the_one_it_left() -> None:
    assert relation(ALONE, INSYNC) is Relation.AHEAD
    assert relation(INSYNC, ALONE) is Relation.BEHIND


def test_the_condition_is_no_part_of_the_past() -> None:
    assert relation(OUTDATED, INSYNC) is Relation.SAME


def test_two_that_went_on_from_the_same_generation_are_apart() -> None:
    first, second = INSYNC.alone(1, 0), INSYNC.alone(2, 0)
    assert relation(first, second) is relation(second, first) is Relation.APART


def test_a_new_node_is_behind_everyone_but_another_new_one() -> None:
    assert relation(State(), INSYNC) is Relation.BEHIND
    assert relation(INSYNC, State()) is Relation.AHEAD
    assert relation(State(), State()) is Relation.SAME


def test_a_generation_has_a_number_greater_than_all_that_its_node_knew() -> None:
    assert INSYNC.alone(1, newest_known=7).generation == Generation(8, 1)
    assert ALONE.alone(1, newest_known=0).generation == Generation(3, 1)


def test_a_generation_remembers_what_it_has_come_from() -> None:
    assert ALONE.alone(1, 0).history == (Generation(2, 1), Generation(1, 1))
    assert State().alone(1, 0).history == ()


def test_so_much_is_remembered_and_no_more() -> None:
    state = INSYNC
    for _ in range(HISTORY_MAX + 5):
        state = state.alone(1, 0)
    assert len(state.history) == HISTORY_MAX
    assert relation(INSYNC, state) is Relation.APART


def test_in_sync_means_to_have_the_past_of_the_one_that_leads() -> None:
    assert relation(OUTDATED.insync_with(ALONE), ALONE) is Relation.SAME
    assert OUTDATED.insync_with(ALONE).condition is Condition.INSYNC
    assert not OUTDATED.insync_with(ALONE).served


def test_only_complete_data_is_served_unforced() -> None:
    assert INSYNC.may_serve
    assert ALONE.may_serve
    assert not OUTDATED.may_serve
    assert not State().may_serve
