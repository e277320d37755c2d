"""The one way in: which events make a node close, speak and answer."""

from __future__ import annotations

import pytest

from farmd.core.buckets import CLOSED
from farmd.core.events import Action, Broadcast, Echo, Install, Lease, NodeState, Received, Tick
from farmd.core.membership import Membership
from farmd.core.view import Epoch
from tests.unit.states import beat, ms, settings, up, view_of

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


def test_a_late_loop_judges_only_when_it_has_read_everything() -> None:
    core = alone()
    late = SERVES_FROM + ms(101)
    assert core.step(late, Received(beat(2, 1))) == []
    assert any(isinstance(action, Broadcast) for action in core.step(late, Tick()))
