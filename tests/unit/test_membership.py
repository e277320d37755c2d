"""The one way in: which events make a node close, speak and answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farmd.core.buckets import CLOSED
from farmd.core.events import (
    Action,
    Broadcast,
    Echo,
    Health,
    Install,
    Lease,
    NodeState,
    Received,
    Status,
    Tick,
    TookOver,
)
from farmd.core.membership import Membership
from farmd.core.view import BUCKETS, Epoch
from tests.unit.states import JOINING, beat, ms, settings, up, view_of

OWN = 5
SERVES_FROM = ms(400)


def alone() -> Membership:
    """Node 1 of two, in a view of its own since nobody was heard."""
    core = Membership(settings(1, 2), OWN, 0)
    for at in range(0, 450, 50):
        core.step(ms(at), Tick())
    assert core.view is not None
    assert core.view.ids == {1}
    return core


def hears(core: Membership, state: NodeState) -> list[Action]:
    """Node 2 comes into earshot, and echoes the newest word."""
    broadcast, _ = core.step(SERVES_FROM + ms(1), Tick())
    assert isinstance(broadcast, Broadcast)
    return core.step(SERVES_FROM + ms(2), Received(beat(2, 1, Echo(OWN, broadcast.seq), state)))


def test_nobody_serves_before_the_suspicion_time_is_over() -> None:
    core = Membership(settings(1, 2), OWN, 0)
    for at in range(0, 400, 50):
        assert not any(isinstance(action, Lease) for action in core.step(ms(at), Tick()))
    assert core.view is None


def test_it_speaks_before_it_renews_its_lease() -> None:
    actions = alone().step(SERVES_FROM + ms(50), Tick())
    kinds = [type(action) for action in actions]
    assert kinds == [Broadcast, Lease]
    assert actions[1] == Lease(SERVES_FROM + ms(50) + ms(200))


@pytest.mark.parametrize("members", [(2,), (2, 1)], ids=["without-us", "counting-on-an-earlier-run-of-ours"])
def test_it_closes_when_another_follows_a_newer_view_that_it_has_not_promised(members: tuple[int, ...]) -> None:
    core = alone()
    actions = hears(core, up(view_of(Epoch(4, 2), *members)))
    assert core.view is None
    assert Lease(0) in actions
    assert any(isinstance(action, Install) and action.states == CLOSED for action in actions)


def test_it_stays_open_when_another_follows_an_older_view() -> None:
    core = alone()
    hears(core, up(view_of(Epoch(1, 0), 2)))
    assert core.view is not None


def test_it_closes_when_it_stood_still_for_as_long_as_others_may_have_waited() -> None:
    core = alone()
    core.step(SERVES_FROM + ms(250), Tick())
    assert core.view is not None
    assert Lease(0) in core.step(SERVES_FROM + ms(501), Tick())


def among(*says: NodeState) -> Membership:
    """Node 1 in a view with nodes 2 and so on, which say this, and follow whatever node 1 coordinates until 600 ms."""
    core = Membership(settings(1, 1 + len(says)), OWN, 0)
    for seq in range(1, 60):
        core.step(ms(10 * seq), Tick())
        for peer, state in enumerate(says, 2):
            core.step(ms(10 * seq), Received(beat(peer, seq, Echo(OWN, core._seq), follows(core, state))))
    assert core.view is not None
    assert core.view.ids == core.settings.nodes
    assert core.converged()
    return core


def follows(core: Membership, says: NodeState) -> NodeState:
    """What a peer says that follows node 1."""
    view = core.follower.newest
    if view is None:
        return replace(says, promised=core.follower.promised)
    return up(view, ready=says.ready, failing=says.failing, draining=says.draining)


def test_what_every_other_live_member_fails_too_is_nobodys_fault() -> None:
    core = among(replace(JOINING, failing=("app", "db")))
    now_ns = ms(600)
    core.step(now_ns, Health(ready=True, failing=("db", "web")))
    assert core.everyone_fails == {"db"}
    core.step(now_ns, Health(ready=True, failing=("web",)))
    assert core.everyone_fails == frozenset()


def test_who_is_alone_cannot_say_that_everyone_fails() -> None:
    core = alone()
    core.step(SERVES_FROM + ms(50), Health(ready=True, failing=("db",)))
    assert core.everyone_fails == frozenset()


def test_who_is_silent_is_not_asked() -> None:
    """Node 1 does not hear node 2, and node 3 hears both: the old view goes on."""
    core = among(JOINING, replace(JOINING, failing=("db",)))
    core.step(ms(600), Health(ready=True, failing=("db",)))
    assert core.everyone_fails == frozenset()
    assert core.view is not None
    for seq in range(60, 110):
        core.step(ms(10 * seq), Tick())
        core.step(ms(10 * seq), Received(beat(3, seq, Echo(OWN, core._seq), up(core.view, failing=("db",)))))
    assert core.evidence.suspects(ms(1100)) == {2}
    assert core.view.ids == {1, 2, 3}
    assert core.everyone_fails == {"db"}


def test_it_has_released_once_nothing_is_open_and_no_view_is_on_its_way() -> None:
    core = alone()
    assert not core.released
    core.step(SERVES_FROM + ms(50), Health(ready=False))
    assert core.released, "nobody has to be asked"
    core.step(SERVES_FROM + ms(60), Health(ready=True))
    assert not core.released
    assert Membership(settings(1, 2), OWN, 0).released


def test_who_is_not_ready_says_at_once_that_it_drains() -> None:
    core = among(JOINING)
    before = core.status
    core.step(ms(600), Health(ready=False))
    assert (before, core.status) == (Status.UP, Status.DRAINING)


def test_taking_over_tells_for_how_long_the_dead_were_silent() -> None:
    core = among(JOINING)
    heard_ns = core.evidence.peers[2].heard_ns
    taken = []
    for at in range(600, 1100, 10):
        taken += [(ms(at), action) for action in core.step(ms(at), Tick()) if isinstance(action, TookOver)]
    ((when_ns, action),) = taken
    assert action == TookOver(frozenset({2}), when_ns - heard_ns)
    assert ms(400) <= action.silence_ns <= ms(410)


def test_who_is_given_buckets_takes_nothing_over() -> None:
    core = among(JOINING)
    assert core.view is not None
    draining = up(core.view, status=Status.DRAINING, draining=True)
    actions = core.step(ms(600), Received(beat(2, 100, Echo(OWN, core._seq), draining)))
    for seq in range(101, 110):
        newest = core.follower.newest
        assert newest is not None
        state = replace(up(newest), draining=True, promised=core.follower.promised, released=core.follower.promised)
        actions += core.step(ms(600 + seq - 100), Received(beat(2, seq, Echo(OWN, core._seq), state)))
    assert core.view.owners.count(1) == BUCKETS
    assert not any(isinstance(action, TookOver) for action in actions)


def test_a_late_loop_judges_only_when_it_has_read_everything() -> None:
    core = alone()
    late = SERVES_FROM + ms(101)
    assert core.step(late, Received(beat(2, 1))) == []
    assert any(isinstance(action, Broadcast) for action in core.step(late, Tick()))
