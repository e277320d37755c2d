"""A disk that does not take a node's state: what is told, what waits for it and for how long, and what does not."""

from __future__ import annotations

import pytest

from farmd.core.settings import MS
from mirrord.core.events import (
    Action,
    ApplicationStopped,
    Finished,
    Forgo,
    Note,
    Quit,
    StopApplication,
    StoreRefused,
)
from mirrord.core.generations import Condition
from mirrord.core.settings import S
from mirrord.core.standing import Readiness, Role
from mirrord.orders import InSync, Unlinked
from tests.unit.mirror_words import ALONE, INSYNC, OUTDATED, Table, orders, states, word
from tests.unit.test_mirror_role import following, leading, primary, silence

FULL = StoreRefused("No space left on device")
MAYBE = StoreRefused("Input/output error", in_doubt=True)


def held(**settings: int) -> Table:
    """A PRIM whose peer has died: that it goes on alone its disk does not take."""
    table = leading(**settings)
    assert [state.condition for state in states(silence(table))] == [Condition.ALONE]
    table.step(FULL)
    table.report(Unlinked("no answer"))
    return table


def fenced(table: Table, by: StoreRefused = FULL) -> Table:
    """The same, once it waits: what it could not begin is given up when that is refused again."""
    silence(table, table.core.settings.held_ns // MS)
    assert table.core.role is Role.WAIT
    table.step(ApplicationStopped())
    table.done()
    actions = table.step(by)
    assert (Forgo() in actions, states(actions)) == (True, [table.core.state])
    return table


def told(actions: list[Action]) -> list[str]:
    return [action.text for action in actions if isinstance(action, Note)]


def test_it_is_told_once_for_each_reason_and_when_it_is_over() -> None:
    table = leading()
    silence(table)
    assert told(table.step(FULL)) == ["the disk does not take this node's state: No space left on device"]
    assert told(table.step(FULL)) == []
    assert told(table.step(MAYBE)) == ["the disk does not take this node's state: Input/output error"]
    assert "the disk takes this node's state again" in told(table.stored())


def test_while_changes_wait_the_node_says_why() -> None:
    core = held().core
    assert (core.role, core.readiness) == (Role.PRIM, Readiness.NOT_READY)
    assert core.reason == "changes wait, since the disk does not take this node's state: No space left on device"


def test_changes_do_not_wait_for_ever() -> None:
    table = held(held_ns=3 * S)
    assert StopApplication(force=True) not in silence(table, 2900)
    actions = silence(table, 100)
    assert StopApplication(force=True) in actions
    assert orders(actions) == ["Withdraw"]
    assert table.core.role is Role.WAIT


def test_while_the_stream_is_there_nothing_waits() -> None:
    table = leading(held_ns=1 * S)
    silence(table)
    table.step(FULL)
    silence(table, 5000)
    assert table.core.role is Role.PRIM


@pytest.mark.parametrize(
    ("changes", "role"), [({}, Role.WAIT), ({"able": False}, Role.PRIM), ({"storing": True}, Role.PRIM)]
)
def test_a_peer_that_can_serve_is_let(changes: dict[str, bool], role: Role) -> None:
    table = held()
    table.hears(word(Role.WAIT, table.core.state, **changes))
    assert table.core.role is role


def test_who_cannot_go_on_alone_does_not_ask_its_peer_to_be_outdated() -> None:
    table = leading()
    table.report(Unlinked("reset"))
    assert table.said is not None
    assert table.said.asks
    silence(table)
    table.step(FULL)
    assert not table.said.asks


def test_who_gave_up_knows_no_more_than_one_that_has_crashed() -> None:
    table = fenced(held())
    assert table.core.able is False
    table.stored()
    assert (table.core.able, table.core.role, table.core.state.condition) == (True, Role.WAIT, Condition.INSYNC)
    silence(table, 1000)
    assert "promote one of the two" in table.core.reason


def test_it_obeys_a_peer_that_can_serve_and_yields_by_its_word() -> None:
    table = fenced(held())
    table.hears(word(Role.WAIT, table.core.state, asks=True))
    assert not states(table.tick()), "the last try may be on its way to the disk"
    assert [state.condition for state in states(table.step(FULL))] == [Condition.OUTDATED]
    assert table.said is not None
    assert table.said.yields


def test_it_does_not_yield_if_a_generation_of_its_own_may_be_on_the_disk() -> None:
    table = fenced(held(), by=MAYBE)
    table.hears(word(Role.WAIT, table.core.state, asks=True))
    table.step(FULL)
    assert table.said is not None
    assert (table.said.yields, table.said.storing) == (False, True)
    table.stored()
    assert table.core.state.condition is Condition.OUTDATED


def test_a_peer_that_serves_and_may_not_go_on_with_that_is_not_obeyed() -> None:
    table = Table(INSYNC)
    table.open()
    assert not states(table.hears(word(Role.PRIM, INSYNC, serves=True, storing=True)))
    assert states(table.hears(word(Role.PRIM, INSYNC, serves=True)))


def test_who_cannot_store_that_it_is_alone_no_more_is_so_again_without_a_stream() -> None:
    table = Table(ALONE)
    table.open()
    table.hears(word(state=OUTDATED))
    table.done()
    table.hears(word(Role.SECOND, OUTDATED, follows=ALONE.generation))
    table.done()
    assert [state.condition for state in states(table.report(InSync()))] == [Condition.INSYNC]
    assert Forgo() not in table.step(FULL)
    table.report(Unlinked("no answer"))
    actions = table.step(FULL)
    assert Forgo() in actions
    assert orders(actions) == ["GoAlone"]
    assert table.core.role is Role.ALONE


def test_who_cannot_store_that_it_takes_over_waits_once_its_peer_is_heard_again() -> None:
    table = following()
    silence(table)
    assert states(table.done())
    assert "-> WAIT" not in str(table.step(FULL))
    assert "SECOND -> WAIT: node n2 is heard again" in str(table.hears(primary(table, asks=True)))
    assert [state.condition for state in states(table.step(FULL))] == [Condition.OUTDATED]


def test_a_node_that_is_to_end_is_not_kept_by_its_disk() -> None:
    table = fenced(held())
    table.step(Quit())
    table.step(FULL)
    assert Finished() in silence(table, 500)
    assert table.core.role is Role.STOP
