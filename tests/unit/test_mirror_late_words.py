"""What a word or a silence is worth when time has passed since; and what a disk that refuses keeps nobody from."""

from __future__ import annotations

import pytest

from mirrord.core.events import Action, ApplicationStopped, Forgo, Promote, StoreRefused, Swap
from mirrord.core.generations import Condition, Generation, State
from mirrord.core.standing import Role
from mirrord.orders import Done
from tests.unit.mirror_words import ALONE, FIRST, INSYNC, Table, orders, states, word
from tests.unit.test_mirror_role import NEXT, following, leading, primary, silence

HANDED = word(Role.SECOND, State(NEXT, (FIRST,), Condition.INSYNC), handed=42)
ANEW = word(Role.ALONE, State(Generation(3, 2), (NEXT, FIRST), Condition.ALONE, served=True), serves=True)
"""What the peer says that has handed over, was not heard, and has gone on alone."""
APART = State(Generation(2, 2), (FIRST,), Condition.ALONE, served=True)


def stood_still(table: Table, ms: int) -> list[Action]:
    return table.tick(ms) + table.tick()


def test_who_is_about_to_take_over_waits_if_its_peer_is_heard_before_that_is_stored() -> None:
    table = following()
    assert orders(silence(table)) == ["Cut"]
    assert [state.condition for state in states(table.done())] == [Condition.ALONE]
    table.hears(primary(table))
    table.stored()
    assert table.core.role is Role.WAIT


def test_who_has_stood_still_does_not_judge_its_peers_silence() -> None:
    table = following()
    assert not states(stood_still(table, 1750) + silence(table))
    assert table.core.role is Role.WAIT
    assert "may have gone on alone before" in table.core.reason


def test_the_hand_over_of_a_peer_that_does_not_hear_us_is_not_taken() -> None:
    table = following()
    table.hears(primary(table))
    silence(table, 500)
    assert orders(table.hears(HANDED, deaf=True)) == []
    assert orders(table.hears(HANDED)) == ["Cut"]


def test_a_hand_over_is_not_taken_once_the_peer_may_have_gone_on_alone() -> None:
    table = following()
    table.hears(HANDED)
    assert states(table.report(Done(42)))
    silence(table, 1800)
    table.stored()
    assert table.core.role is Role.WAIT


def test_a_hand_over_that_has_come_to_nothing_does_not_keep_a_node_from_following() -> None:
    table = following()
    assert orders(table.hears(HANDED)) == ["Cut"]
    table.hears(ANEW, deaf=True)
    table.report(Done(42))
    assert orders(table.stored()) == ["Follow"]


def test_who_goes_on_alone_waits_for_a_peer_that_is_about_to_end_serving() -> None:
    table = Table(ALONE)
    table.open()
    assert "-> ALONE" not in str(table.hears(word(Role.PRIM, INSYNC, serves=True)))
    assert "about to end serving" in table.core.reason
    assert "-> ALONE" in str(table.hears(word(Role.WAIT, INSYNC)))


@pytest.mark.parametrize(("serves", "role"), [(True, Role.WAIT), (False, Role.ALONE)])
def test_who_has_heard_that_data_that_counts_is_served_does_not_go_on_by_itself(serves: bool, role: Role) -> None:
    table = Table(ALONE, prefer=2)
    table.tick()
    table.hears(word(Role.ALONE if serves else Role.WAIT, APART, serves=serves))
    silence(table)
    table.open()
    silence(table)
    assert table.core.role is role


def test_a_disk_that_refuses_does_not_keep_a_node_from_handing_over() -> None:
    table = leading()
    table.step(Swap())
    table.step(ApplicationStopped())
    table.report(Done(41))
    assert states(table.report(Done(42)))
    assert Forgo() in table.step(StoreRefused("it is full"))
    assert table.said is not None
    assert (table.core.role, table.said.handed, table.said.storing) == (Role.SECOND, 42, False)


def test_nor_from_being_handed_over_to() -> None:
    table = following()
    table.hears(HANDED)
    assert states(table.report(Done(42)))
    refused = table.step(StoreRefused("it is full"))
    assert Forgo() in refused
    assert orders(refused) == ["Serve"]
    assert table.core.role is Role.PRIM


def test_but_from_going_on_alone() -> None:
    table = leading()
    assert states(silence(table))
    assert Forgo() not in table.step(StoreRefused("it is full"))
    assert "PRIM -> ALONE" not in str(silence(table, 10 * 1000))
    assert "PRIM -> ALONE" in str(table.stored())


def test_but_it_does_when_an_operator_says_so() -> None:
    table = Table(INSYNC)
    table.open()
    table.hears(word(Role.ALONE, APART, serves=True))
    silence(table)
    table.stored()
    table.step(Promote(force=True))
    table.stored()
    silence(table, 500)
    assert table.core.role is Role.ALONE
