"""The steps by which a node comes to serve and ceases to, one by one: what is done, in which order, and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from farmd.core.evidence import Echo
from farmd.core.settings import MS
from mirrord.core.events import (
    Action,
    AddressDown,
    AddressUp,
    ApplicationStopped,
    Finished,
    Health,
    Heartbeat,
    Lease,
    Note,
    ProbeWitness,
    Promote,
    Quit,
    Received,
    ReplaceVolume,
    Reported,
    Start,
    StartApplication,
    Stop,
    StopApplication,
    StoreRefused,
    Swap,
    TookOver,
    VolumeLost,
    WitnessAnswered,
)
from mirrord.core.generations import Condition, Generation, State
from mirrord.core.standing import Readiness, Role, Word
from mirrord.orders import Alive, Done, Follow, InSync, Lead, LocalFault, Refused, Unlinked
from tests.unit.mirror_words import ALONE, FIRST, INSYNC, OUTDATED, Table, orders, states, word

NEXT = Generation(2, 2)
"""What the peer begins when it goes on alone."""


def following(**settings: Any) -> Table:
    """A SECOND in sync; the peer serves."""
    table = Table(OUTDATED, **settings)
    table.open()
    alone = word(Role.ALONE, State(NEXT, (FIRST,), Condition.ALONE, served=True), serves=True)
    table.hears(alone)
    table.done()
    table.report(InSync())
    table.hears(primary(table))
    table.stored()
    assert (table.core.role, table.core.in_sync) == (Role.SECOND, True)
    return table


def primary(table: Table, **changes: Any) -> Word:
    """What the peer says that `table` follows."""
    return word(Role.PRIM, State(NEXT, (FIRST,), Condition.INSYNC, served=True), serves=True, **changes)


def second(table: Table, **changes: Any) -> Word:
    """What a peer in sync says that follows `table`."""
    state = State(table.core.state.generation, table.core.state.history, Condition.INSYNC)
    return replace(word(Role.SECOND, state, follows=state.generation), **changes)


def leading(**settings: Any) -> Table:
    """A PRIM with a peer in sync; its application runs."""
    table = Table(ALONE, **settings)
    table.open()
    table.hears(word(state=OUTDATED))
    table.done()
    table.hears(word(Role.SECOND, OUTDATED, follows=ALONE.generation))
    table.done()
    table.report(InSync())
    table.stored()
    table.step(Health(ready=True))
    table.hears(second(table))
    assert (table.core.role, table.core.readiness) == (Role.PRIM, Readiness.READY)
    return table


def silence(table: Table, ms: int = 2000) -> list[Action]:
    """The peer says nothing any more, while time passes tick by tick."""
    return [action for _ in range(ms // 100) for action in table.tick()]


# -- to serve ----------------------------------------------------------------------------------------------------------


def test_what_was_alone_goes_on_at_once_when_nobody_is_heard() -> None:
    table = Table(ALONE)
    table.open()
    seen = silence(table, 500)
    assert table.core.role is Role.ALONE
    assert orders(seen) == ["Serve"]
    assert orders(seen := table.report(Done(0))) == ["GoAlone"]
    assert [type(action) for action in seen if not hasattr(action, "order")] == [AddressUp, StartApplication, Lease]


def test_what_was_in_sync_waits_for_its_peer() -> None:
    table = Table(INSYNC)
    table.open()
    assert not states(silence(table, 10_000))
    assert table.core.role is Role.WAIT
    assert table.core.reason == "node n2 is not heard, and the data here was in sync when it was last heard"


def test_the_peer_is_outdated_before_the_generation_begins_and_it_is_stored_before_anything_is_served() -> None:
    table = Table(INSYNC)
    table.open()
    table.hears(word())
    assert table.said is not None
    assert table.said.asks
    assert not states(table.hears(word()))
    begun = table.hears(word(state=OUTDATED))
    assert states(begun) == [State(Generation(2, 1), (FIRST,), Condition.ALONE, served=True)]
    assert orders(begun) == []
    assert orders(table.stored()) == ["Serve"]


@pytest.mark.parametrize("changes", [{"storing": True}, {"asks": True}, {"serves": True}])
def test_an_outdated_peer_that_may_be_about_to_change_does_not_do(changes: dict[str, Any]) -> None:
    table = Table(INSYNC)
    table.open()
    table.hears(word())
    assert not states(table.hears(word(state=OUTDATED, **changes)))
    assert states(table.hears(word(state=OUTDATED)))


def test_a_peer_in_sync_whose_disk_refuses_to_store_that_it_is_outdated_yields_by_its_word() -> None:
    table = leading()
    table.report(Unlinked("reset"))
    table.hears(second(table))
    assert not states(table.hears(second(table, storing=True)))
    begun = table.hears(second(table, storing=True, yields=True))
    assert [state.condition for state in states(begun)] == [Condition.ALONE]


def test_who_cannot_store_that_it_is_outdated_says_so_and_does_not_take_over() -> None:
    table = following()
    stored = states(table.hears(primary(table, asks=True)))
    assert [state.condition for state in stored] == [Condition.OUTDATED]
    assert table.said is not None
    assert not table.said.yields
    table.step(StoreRefused("it is full"))
    assert (table.said.storing, table.said.yields) == (True, True)
    assert not states(silence(table, 10_000))
    table.stored()
    assert (table.said.yields, table.core.state.condition) == (False, Condition.OUTDATED)


def test_who_has_been_alone_does_not_yield_by_its_word() -> None:
    """It would go on alone after a restart, and not ask."""
    table = Table(ALONE)
    table.open()
    newer = State(Generation(3, 2), (ALONE.generation,), Condition.ALONE, served=True)
    assert states(table.hears(word(Role.ALONE, newer, asks=True, serves=True)))
    table.step(StoreRefused("it is full"))
    assert table.said is not None
    assert (table.said.storing, table.said.yields) == (True, False)


def test_what_the_peer_said_before_it_heard_the_question_does_not_do() -> None:
    table = leading()
    table.report(Unlinked("reset"))
    assert table.said is not None
    assert table.said.asks
    assert not states(table.hears(second(table, state=OUTDATED), deaf=True))
    assert states(table.hears(second(table, state=OUTDATED)))


def test_a_follower_in_sync_takes_over_from_silence_cut_first_then_stored_then_served() -> None:
    table = following()
    seen = silence(table)
    assert orders(seen) == ["Cut"]
    assert not states(seen)
    stored = table.report(Done(7))
    assert states(stored) == [State(Generation(3, 1), (NEXT, FIRST), Condition.ALONE, served=True)]
    assert [action for action in stored if isinstance(action, TookOver)] == [TookOver(2000 * MS)]
    assert orders(stored) == []
    assert orders(table.stored()) == ["Serve"]


def test_a_follower_that_hears_its_peer_again_does_not_take_over() -> None:
    table = following()
    silence(table)
    table.hears(primary(table))
    assert not states(table.report(Done(7)))


def test_a_follower_whose_peer_was_deaf_to_the_end_waits() -> None:
    table = following()
    for _ in range(18):
        table.tick()
        table.hears(primary(table), deaf=True)
    assert not states(silence(table))
    assert table.core.role is Role.WAIT
    assert "promote one of the two" in table.core.reason


def test_a_follower_that_is_outdated_waits() -> None:
    table = Table(OUTDATED)
    table.open()
    assert "WAIT -> SECOND" in str(table.hears(word(Role.ALONE, ALONE, serves=True)))
    assert not states(silence(table))
    assert table.core.role is Role.WAIT


def test_the_witness_is_asked_when_the_suspicion_time_is_over_and_must_answer_that() -> None:
    table = following(witness=True)
    seen = silence(table)
    assert ProbeWitness() in seen
    assert not orders(seen)
    assert not orders(table.step(WitnessAnswered(table.now_ns - 1 * MS)))
    assert orders(table.step(WitnessAnswered(table.now_ns))) == ["Cut"]


def test_without_the_witness_a_follower_is_undecided_in_the_end() -> None:
    table = following(witness=True)
    assert "SECOND -> WAIT" not in str(silence(table, 3900))
    assert not states(silence(table, 200))
    assert table.core.role is Role.WAIT
    assert table.core.reason == "node n2 is silent, and the witness does not answer: promote one of the two"


def test_a_primary_whose_peer_is_silent_stores_before_its_volume_goes_alone() -> None:
    table = leading()
    assert orders(table.report(Unlinked("reset"))) == []
    begun = silence(table)
    assert [state.condition for state in states(begun)] == [Condition.ALONE]
    assert orders(begun) == []
    assert orders(table.stored()) == ["GoAlone"]
    assert table.core.role is Role.ALONE


def test_an_operator_may_promote_what_is_outdated_in_so_many_words_only() -> None:
    table = Table(OUTDATED)
    table.open()
    assert "the data here is outdated" in table.core.objection(table.now_ns, Promote())
    assert not states(table.step(Promote()))
    silence(table, 500)
    assert [state.condition for state in states(table.step(Promote(force=True)))] == [Condition.ALONE]


def test_an_operator_may_promote_what_may_be_outdated_in_so_many_words_only() -> None:
    table = Table(INSYNC)
    table.open()
    assert "may have gone on alone" in table.core.objection(table.now_ns, Promote())
    assert not states(table.step(Promote()))
    assert [state.condition for state in states(table.step(Promote(force=True)))] == [Condition.ALONE]


def test_a_promotion_comes_to_nothing_if_the_peer_serves_by_the_time_it_is_stored() -> None:
    table = Table(OUTDATED)
    table.open()
    table.tick()
    table.step(Promote(force=True))
    table.hears(word(Role.ALONE, ALONE, serves=True))
    assert orders(table.stored()) == []
    assert table.core.role is Role.WAIT


# -- to be in sync -----------------------------------------------------------------------------------------------------


def test_the_one_that_leads_is_in_sync_durably_before_the_one_that_follows() -> None:
    table = Table(OUTDATED)
    table.open()
    alone = word(Role.ALONE, State(NEXT, (FIRST,), Condition.ALONE, served=True), serves=True)
    table.hears(alone)
    table.done()
    assert not states(table.report(InSync()))
    assert not states(table.hears(alone))
    assert not states(table.hears(primary(table, asks=True)))
    assert not states(table.hears(primary(table, storing=True)))
    assert states(table.hears(primary(table))) == [State(NEXT, (FIRST,), Condition.INSYNC)]


def test_before_anything_is_applied_a_follower_is_outdated_on_disk() -> None:
    table = Table(INSYNC)
    table.open()
    seen = table.hears(word(Role.ALONE, State(NEXT, (FIRST,), Condition.ALONE), serves=True))
    assert states(seen) == [OUTDATED]
    assert orders(seen) == []
    assert orders(table.stored()) == ["Follow"]


def test_what_went_apart_is_compared_as_a_whole_and_kept() -> None:
    table = Table(INSYNC.alone(2, 0))
    table.open()
    table.hears(word(Role.ALONE, ALONE, serves=True))
    table.stored()
    assert table.core.machine.volume.stream == Follow([2, 1], keep=True)


@pytest.mark.parametrize(
    ("state", "empty", "how", "keep"),
    [
        (OUTDATED, False, "journal", False),
        (State().outdated(), True, "everything", False),
        (State().outdated(), False, "everything", True),  # files from before the mirror
    ],
)
def test_who_leads_compares_by_journal_what_it_knows_and_everything_of_a_stranger(
    state: State, empty: bool, how: str, keep: bool
) -> None:
    table = Table(ALONE)
    table.open()
    table.hears(word(state=state, empty=empty))
    table.done()
    table.hears(word(Role.SECOND, state, follows=ALONE.generation, empty=empty))
    stream = table.core.machine.volume.stream
    assert isinstance(stream, Lead)
    assert (stream.resync, stream.keep) == (how, keep)


def test_a_node_says_that_it_is_outdated_only_when_that_is_on_disk() -> None:
    table = following()
    assert states(table.hears(primary(table, asks=True)))
    assert table.said is not None
    assert (table.said.state.condition, table.said.storing) == (Condition.INSYNC, True)
    table.stored()
    assert (table.said.state.condition, table.said.storing) == (Condition.OUTDATED, False)


def test_a_node_that_asks_does_not_obey() -> None:
    table = Table(INSYNC)
    table.open()
    table.hears(word())
    assert not states(table.hears(word(asks=True)))


# -- to cease ----------------------------------------------------------------------------------------------------------


def fenced(actions: list[Action]) -> bool:
    """Whether the last that was done is to end everything: first the lease."""
    ends = [action for action in actions if isinstance(action, Lease | AddressDown | StopApplication)]
    return ends[-3:] == [Lease(0), AddressDown(), StopApplication(force=True)] and orders(actions)[-1:] == ["Withdraw"]


def test_a_primary_that_stood_still_fences_itself_before_anything_else() -> None:
    table = leading()
    assert fenced(table.tick(1800))
    assert table.core.role is Role.WAIT


def test_a_primary_that_its_peer_does_not_hear_fences_itself_and_its_lease_ends_before() -> None:
    table = leading()
    confirmed_ns = table.core.contact.peer.confirmed_ns
    seen: list[Action] = []
    for _ in range(20):
        seen += table.tick()
        seen += table.hears(second(table), deaf=True)
    assert fenced(seen)
    assert max(action.until_ns for action in seen if isinstance(action, Lease)) <= confirmed_ns + 2000 * MS


def test_a_primary_that_hears_of_a_newer_generation_fences_itself() -> None:
    table = leading()
    newer = table.core.state.alone(2, 0)
    assert fenced(table.hears(word(Role.ALONE, newer, serves=True)))


def test_a_primary_without_peer_and_witness_fences_itself() -> None:
    table = leading(witness=True)
    table.step(WitnessAnswered(table.now_ns - 1000 * MS))
    assert fenced(silence(table, 2200))


def test_a_node_whose_volume_has_ended_serves_no_more() -> None:
    table = leading()
    seen = table.step(VolumeLost("killed"))
    assert [action for action in seen if isinstance(action, AddressDown | StopApplication)] == [
        AddressDown(),
        StopApplication(force=True),
    ]
    assert table.core.role is Role.WAIT


@pytest.mark.parametrize("serves", [True, False])
def test_a_volume_that_hangs_is_replaced(serves: bool) -> None:
    """Also one that follows: the peer's changes wait for it."""
    table = leading() if serves else following()
    table.report(Alive())
    seen: list[Action] = []
    for _ in range(60):
        seen += table.tick()
        table.hears(second(table) if serves else primary(table))
    assert [type(action) for action in seen].count(ReplaceVolume) == 1


def test_a_broken_disk_makes_the_peer_take_over() -> None:
    table = leading()
    assert fenced(table.report(LocalFault("the disk is full")))
    table.step(ApplicationStopped())
    table.done()
    assert table.said is not None
    assert not table.said.able
    assert states(table.hears(second(table, role=Role.WAIT, asks=True)))


def test_a_fault_is_told_once_and_tried_again_after_a_while() -> None:
    table = leading()
    table.step(VolumeLost("killed"))
    table.step(ApplicationStopped())
    table.open()
    table.report(LocalFault("the disk is full"))
    seen: list[Action] = []
    for _ in range(31):
        seen += table.report(LocalFault("the disk is full"))
        for _ in range(10):
            seen += table.tick()
    assert "disk" not in str([action for action in seen if isinstance(action, Note)])
    assert [type(action) for action in seen].count(ReplaceVolume) == 1


def test_an_order_that_a_withdrawal_overtakes_has_not_failed() -> None:
    table = Table(ALONE)
    table.open()
    assert orders(silence(table, 500)) == ["Serve"]
    table.hears(word(Role.ALONE, ALONE.alone(2, 0), serves=True))
    table.report(Done(0, "another order came before it was done"))
    table.report(Done(0))
    assert not table.core.machine.volume.fault
    assert not table.core.machine.serves


# -- to change places --------------------------------------------------------------------------------------------------


def test_a_hand_over_ends_the_application_first_and_is_said_when_it_is_stored() -> None:
    table = leading()
    assert StopApplication() in table.step(Swap())
    seen = table.step(ApplicationStopped())
    assert AddressDown() in seen
    assert orders(seen) == ["Hold"]
    assert orders(table.report(Done(41))) == ["Withdraw"]
    stored = table.report(Done(42))
    assert [(state.condition, state.served) for state in states(stored)] == [(Condition.INSYNC, False)]
    assert "handed=42" not in str(table.said)
    assert "asks=False" in str(table.said)
    table.stored()
    assert table.said is not None
    assert (table.core.role, table.said.handed, table.said.serves) == (Role.SECOND, 42, False)


def test_a_hand_over_is_taken_back_when_the_stream_ends_before_it_is_stored() -> None:
    table = leading()
    table.step(Swap())
    table.report(Unlinked("reset"))
    assert table.core.ending is None
    assert StartApplication() in table.step(ApplicationStopped())


def test_a_hand_over_that_the_peer_cannot_take_ends_the_stream_since_changes_are_held() -> None:
    table = leading()
    table.step(Swap())
    table.step(ApplicationStopped())
    assert orders(table.hears(replace(second(table), able=False))) == []
    assert orders(table.report(Done(41))) == ["Cut"]
    assert table.core.role is Role.PRIM


@pytest.mark.parametrize(("number", "role"), [(42, Role.PRIM), (41, Role.WAIT)])
def test_who_is_handed_over_to_serves_if_both_have_the_same_last_number(number: int, role: Role) -> None:
    table = following()
    handed = word(Role.SECOND, State(NEXT, (FIRST,), Condition.INSYNC), handed=42)
    assert orders(table.hears(handed)) == ["Cut"]
    table.report(Done(number))
    if role is Role.PRIM:
        assert orders(table.stored()) == ["Serve"]
    assert table.core.role is role


def test_the_preferred_node_gets_its_place_back_when_the_window_is_open() -> None:
    table = leading(prefer=2, prefer_after_ns=300 * MS)
    table.core.stands_in = True
    table.core.window_open = False
    for _ in range(5):
        table.tick()
        table.hears(second(table))
    assert table.core.ending is None
    table.core.window_open = True
    table.tick()
    assert table.core.ending is not None


def test_an_application_that_cannot_be_kept_running_goes_to_the_peer() -> None:
    table = leading()
    table.step(Health(ready=False, failing=("app",), given_up="app: restarted 3 times"))
    assert table.core.ending is not None
    assert not table.core.able


def test_what_was_given_up_goes_to_a_peer_that_can_take_it_only_later() -> None:
    table = leading()
    table.hears(second(table, able=False))
    table.step(Health(ready=False, given_up="app: restarted 3 times"))
    table.step(ApplicationStopped())
    assert table.core.ending is None
    table.hears(second(table))
    assert table.core.ending is not None
    assert table.core.ending.handover
    assert table.core.ending.why == "the application cannot be kept running here: app: restarted 3 times"


@pytest.mark.parametrize("fails", [Health(ready=False, given_up="app"), Health(ready=True, elsewhere="app")])
def test_what_the_peer_was_to_take_and_cannot_runs_on_here_at_once(fails: Health) -> None:
    table = leading()
    table.step(fails)
    table.step(ApplicationStopped())
    seen = table.hears(second(table, able=False))
    assert table.core.ending is None
    assert StartApplication() in seen + table.report(Done(41))


def test_a_check_that_fails_here_gives_the_application_to_a_peer_that_can_take_it() -> None:
    fails = Health(ready=True, failing=("app",), elsewhere="check app fails")
    table = leading()
    table.step(fails)
    assert table.core.ending is not None
    assert table.core.ending.handover
    assert not table.core.able


def test_a_check_that_fails_does_not_stop_the_application_where_nobody_else_can_run_it() -> None:
    table = leading()
    table.report(Unlinked("reset"))
    silence(table)
    table.stored()
    assert table.core.role is Role.ALONE
    seen = table.step(Health(ready=True, failing=("app",), elsewhere="check app fails"))
    seen += silence(table, 40_000)
    assert not [action for action in seen if isinstance(action, StopApplication)]
    assert (table.core.readiness, table.core.reason) == (Readiness.NOT_READY, "failing: app")


# -- what people see and want ------------------------------------------------------------------------------------------


def test_another_configuration_or_version_is_told_and_nothing_is_followed() -> None:
    for changes, what in (({"fingerprint": 7}, "configuration of node n2 differs"), ({"protocol": 3}, "version 3")):
        table = Table(OUTDATED)
        table.open()
        table.hears(word(Role.ALONE, ALONE, serves=True, **changes))
        assert table.core.role is Role.WAIT
        assert what in table.core.reason


def test_the_next_version_is_followed() -> None:
    table = Table(OUTDATED)
    table.open()
    table.hears(word(Role.ALONE, ALONE, serves=True, protocol=2))
    assert table.core.role is Role.SECOND


def test_clocks_that_are_far_apart_are_told_once() -> None:
    table = following()
    notes = []
    for seq in (100, 101):
        heard = table.core.contact.peer
        beat = Received(_beat(table, seq, heard.incarnation), clocks_apart_ns=1500 * MS)
        notes += [action.text for action in table.step(beat) if isinstance(action, Note)]
    assert notes == ["the clocks of the two nodes are 1.5 s apart"]


def _beat(table: Table, seq: int, incarnation: int | None) -> Heartbeat:
    assert incarnation is not None
    return Heartbeat(2, incarnation, seq, Echo(5, table.newest), primary(table))


def test_a_volume_that_refuses_is_told_and_nothing_is_done() -> None:
    table = Table(ALONE)
    table.step(Reported(Refused("/srv is not a directory")))
    silence(table, 1000)
    assert (table.core.role, table.core.reason) == (Role.WAIT, "/srv is not a directory")


def test_a_node_that_is_to_end_is_finished_when_its_peer_does_not_need_it() -> None:
    table = following()
    assert Finished() not in table.step(Quit())
    table.done()
    assert Finished() not in table.hears(primary(table, asks=True))
    table.stored()
    alone = word(Role.ALONE, State(Generation(3, 2), (NEXT, FIRST), Condition.ALONE), serves=True)
    assert Finished() in table.hears(alone)


def test_a_stopped_node_takes_part_again_when_it_is_told_to() -> None:
    table = following()
    table.step(Stop())
    assert table.core.role is Role.STOP
    table.step(Start())
    assert table.core.role is not Role.STOP


@pytest.mark.parametrize(
    ("wish", "why"),
    [(Promote(), "this node serves already"), (Start(), ""), (Swap(), "")],
)
def test_a_primary_says_why_not(wish: Promote | Start | Swap, why: str) -> None:
    table = leading()
    assert table.core.objection(table.now_ns, wish) == why
