"""Who of two leads."""

from __future__ import annotations

from mirrord.core.contest import Part, verdict
from mirrord.core.generations import Condition, State
from mirrord.core.settings import Settings
from mirrord.core.standing import Role, Word
from tests.unit.mirror_words import ALONE, INSYNC, OUTDATED, word


def part(own: Word, other: Word, *, prefer: int | None = None) -> Part:
    return verdict(Settings(1, 2, prefer=prefer), own, other).part


def test_the_newer_generation_leads_whatever_the_older_one_does() -> None:
    assert part(word(state=ALONE), word(Role.PRIM)) is Part.LEAD
    assert part(word(Role.PRIM), word(state=ALONE)) is Part.FOLLOW


def test_newer_data_that_is_outdated_itself_needs_an_operator() -> None:
    assert part(word(), word(state=ALONE.outdated())) is Part.NEITHER
    assert part(word(state=ALONE.outdated()), word()) is Part.NEITHER


def test_of_two_in_sync_the_one_that_serves_leads_even_unable() -> None:
    assert part(word(Role.PRIM, able=False), word()) is Part.LEAD


def test_of_two_that_wait_the_one_that_is_able_leads() -> None:
    served = State(INSYNC.generation, (), Condition.INSYNC, served=True)
    assert part(word(), word(state=served, able=False)) is Part.LEAD


def test_of_two_able_ones_that_wait_the_one_that_served_last_leads() -> None:
    served = State(INSYNC.generation, (), Condition.INSYNC, served=True)
    assert part(word(), word(state=served)) is Part.FOLLOW


def test_else_the_preferred_or_the_lower_one_leads() -> None:
    assert part(word(), word()) is Part.LEAD
    assert part(word(), word(), prefer=2) is Part.FOLLOW


def test_an_outdated_node_follows_one_of_its_own_generation() -> None:
    assert part(word(state=OUTDATED), word(able=False)) is Part.FOLLOW


def test_two_that_were_both_told_to_be_outdated_lose_nothing() -> None:
    assert part(word(state=OUTDATED), word(state=OUTDATED)) is Part.LEAD


def test_of_two_that_went_apart_the_one_that_serves_leads() -> None:
    first, second = INSYNC.alone(1, 7), INSYNC.alone(2, 3)
    assert part(word(state=first), word(Role.ALONE, second)) is Part.FOLLOW
    assert part(word(Role.ALONE, first), word(Role.ALONE, second)) is Part.LEAD
    assert part(word(Role.ALONE, INSYNC.alone(1, 3)), word(Role.ALONE, INSYNC.alone(2, 7))) is Part.FOLLOW


def test_two_outdated_ones_that_went_apart_need_an_operator() -> None:
    first, second = INSYNC.alone(1, 0).outdated(), INSYNC.alone(2, 0).outdated()
    assert part(word(state=first), word(state=second)) is Part.NEITHER


def test_new_nodes_begin_by_themselves_only_if_nothing_is_there() -> None:
    new, files = word(state=State(), empty=True), word(state=State())
    assert part(new, new) is Part.LEAD
    assert part(new, files) is Part.NEITHER
    assert part(files, new) is Part.NEITHER


def test_a_new_node_follows_one_with_data() -> None:
    assert part(word(state=State(), empty=True), word()) is Part.FOLLOW
