"""What a coordinator proposes, when it commits, and when it draws up another view."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farmd.core.coordinator import Coordinator
from farmd.core.events import Command, Echo, NodeState, Proposal, Status
from farmd.core.evidence import Evidence
from farmd.core.follower import Follower
from farmd.core.orders import Orders
from farmd.core.settings import Settings
from farmd.core.standing import Standing
from farmd.core.view import BUCKETS, Epoch
from tests.unit.states import JOINING, beat, ms, prepared, settings, up, view_of

OWN = 5
START = ms(1000)


class Table:
    """Node 1 of a farm of `size`, and what its peers say; all are heard all the time."""

    def __init__(self, size: int, **changes: object) -> None:
        self.settings: Settings = settings(1, size, **changes)
        self.now = START
        self.evidence = Evidence[NodeState](list(range(2, size + 1)), OWN, START, ms(400), ms(100))
        self.evidence.sent.record(1, START)
        for peer in self.evidence.peers:
            assert self.evidence.accept(START, beat(peer, 1, Echo(OWN, 1)))
        self.orders = Orders(self.settings.nodes)
        self.standing = Standing(self.settings.drain_ahead_ns, ready=True)
        self.follower = Follower(self.settings, self.evidence, self.standing, START, flows=False)
        self.coordinator = Coordinator(self.settings, self.evidence, self.follower, self.orders, self.standing)

    def says(self, peer: int, state: NodeState) -> None:
        self.evidence.peers[peer].state = state

    def at(self, ms_after_start: float) -> Proposal | None:
        """What it proposes then, once its own follower has taken notice."""
        self.now = START + ms(ms_after_start)
        for peer in self.evidence.peers.values():
            peer.heard_ns = peer.confirmed_ns = self.now
            peer.deaf = False
        self.coordinator.step(self.now, coordinates=True)
        if self.coordinator.proposal is not None:
            self.follower.consider(self.now, self.coordinator.proposal)
            self.coordinator.commit_if_promised(self.now)
            self.follower.consider(self.now, self.coordinator.proposal)
        self.follower.open(self.now)
        return self.coordinator.proposal


def committed_by(table: Table) -> Proposal:
    """Brings nodes 1 and 2 up to a commitment; node 1 has it in force at once, node 2 not yet."""
    proposed = table.at(0)
    assert proposed is not None
    table.says(2, replace(JOINING, promised=proposed.view.epoch))
    committed = table.at(1)
    assert committed is not None
    assert committed.committed
    assert table.follower.view == committed.view
    return committed


def test_it_commits_when_all_members_have_promised() -> None:
    table = Table(3)
    proposed = table.at(0)
    assert proposed is not None
    table.says(2, replace(JOINING, promised=proposed.view.epoch))
    assert table.at(1) == proposed
    table.says(3, replace(JOINING, promised=proposed.view.epoch))
    committed = table.at(2)
    assert committed == replace(proposed, committed=True)


def test_it_learns_from_the_promises_who_has_to_release() -> None:
    table = Table(3)
    proposed = table.at(0)
    assert proposed is not None
    table.says(2, replace(JOINING, promised=proposed.view.epoch, holds=True))
    table.says(3, replace(JOINING, promised=proposed.view.epoch))
    committed = table.at(1)
    assert committed is not None
    assert committed.losers == {2}


def test_a_promise_of_something_else_is_none() -> None:
    table = Table(2)
    proposed = table.at(0)
    assert proposed is not None
    table.says(2, replace(JOINING, promised=Epoch(0, 2)))
    again = table.at(1)
    assert again == proposed


def test_a_member_that_has_promised_more_makes_it_propose_more() -> None:
    table = Table(2)
    table.at(0)
    table.says(2, replace(JOINING, promised=Epoch(7, 2)))
    proposed = table.at(1)
    assert proposed is not None
    assert proposed.view.epoch == Epoch(8, 1)


def test_the_proposal_ends_when_all_have_it_in_force() -> None:
    table = Table(2)
    committed = committed_by(table)
    assert table.at(10) == committed
    table.says(2, up(committed.view))
    assert table.at(20) is None
    assert table.at(5000) is None


@pytest.mark.parametrize("change", [{"fit": False}, {"draining": True}, {"weight": 7}])
def test_what_was_committed_has_time_to_come_into_force_before_anything_else(change: dict[str, object]) -> None:
    table = Table(2)
    committed = committed_by(table)
    state = replace(JOINING, promised=committed.view.epoch, **change)  # type: ignore[arg-type]
    table.says(2, state)
    assert table.at(101) == committed
    later = table.at(102)
    assert later is not None
    assert later.view.epoch > committed.view.epoch


@pytest.mark.parametrize("words", [{"draining": True}, {"failing": ("app",)}])
def test_a_member_owns_nothing_by_its_own_word(words: dict[str, object]) -> None:
    table = Table(2)
    table.says(2, replace(JOINING, **words))  # type: ignore[arg-type]
    proposed = table.at(0)
    assert proposed is not None
    assert proposed.view.owners.count(1) == BUCKETS


@pytest.mark.parametrize(("status", "owned"), [(Status.JOINING, 0), (Status.UP, BUCKETS // 2)])
def test_who_waits_may_not_have_heard_of_its_order(status: Status, owned: int) -> None:
    table = Table(2)
    view = view_of(Epoch(3, 2), 2, 1)
    table.follower.consider(table.now, prepared(view))
    table.orders.give(1, Command(2, drained=True))
    table.says(2, up(view) if status is Status.UP else JOINING)
    proposed = table.at(1)
    assert proposed is not None
    assert proposed.view.owners.count(2) == owned


def test_unless_a_member_can_follow_no_more() -> None:
    table = Table(2)
    committed = committed_by(table)
    table.says(2, replace(JOINING, promised=Epoch(9, 2)))
    later = table.at(2)
    assert later is not None
    assert later.view.epoch > committed.view.epoch


def test_what_does_not_come_into_force_is_agreed_on_anew() -> None:
    table = Table(2)
    committed = committed_by(table)
    assert table.at(401) == committed
    again = table.at(402)
    assert again is not None
    assert not again.committed
    assert again.view.epoch > committed.view.epoch
    assert again.view.same_agreement(committed.view)


def test_who_no_longer_coordinates_drops_what_it_has_not_committed() -> None:
    table = Table(2)
    table.at(0)
    table.coordinator.step(table.now, coordinates=False)
    assert table.coordinator.proposal is None


def test_who_no_longer_coordinates_finishes_what_it_has_committed() -> None:
    table = Table(2)
    committed = committed_by(table)
    table.coordinator.step(table.now, coordinates=False)
    assert table.coordinator.proposal == committed


def test_the_next_view_is_built_on_one_that_another_may_have_committed() -> None:
    table = Table(2)
    table.says(2, up(view_of(Epoch(3, 2), 2, 1), status=Status.UP))
    table.follower.consider(table.now, prepared(view_of(Epoch(3, 2), 2, 1, moving=5)))
    proposed = table.at(1)
    assert proposed is not None
    assert proposed.view.owners.count(2) == 512, "node 2 keeps what it may"
    assert proposed.view.moving & 5 == 5
    assert all(owner == 2 or proposed.view.moving >> bucket & 1 for bucket, owner in enumerate(proposed.view.owners))
