"""What a node promises, releases and opens, step by step."""

from __future__ import annotations

import pytest

from farmd.core import buckets
from farmd.core.buckets import CLOSED
from farmd.core.events import Echo, Install, NodeState
from farmd.core.evidence import Evidence
from farmd.core.follower import Follower
from farmd.core.standing import Standing
from farmd.core.view import NEVER, Epoch
from tests.unit.states import JOINING, beat, committed, ms, prepared, settings, up, view_of

OWN = 5
OLD = view_of(Epoch(1, 1), 1, 2)
NEW = view_of(Epoch(2, 2), 2, 1)
NOW = ms(50)


def follower(size: int = 2, *, silent: tuple[int, ...] = (), **changes: object) -> Follower:
    """Node 1; its peers have just proved to be alive, but for the silent ones."""
    chosen = settings(1, size, **changes)
    evidence = Evidence[NodeState](list(range(2, size + 1)), OWN, 0, chosen.suspect_ns, chosen.stale_ns)
    evidence.sent.record(1, 0)
    for peer in evidence.peers.values():
        if peer.id in silent:
            peer.heard_ns = NOW - chosen.suspect_ns
        else:
            assert evidence.accept(NOW, beat(peer.id, 1, Echo(OWN, 1)))
    return Follower(chosen, evidence, Standing(0, ready=True), 0, flows=False)


def says(node: Follower, peer: int, state: object) -> None:
    node.evidence.peers[peer].state = state  # type: ignore[assignment]


def follows(node: Follower) -> None:
    """Brings node 1 into the old view, where it owns everything."""
    node.consider(NOW, prepared(OLD))
    node.consider(NOW, committed(OLD))
    assert node.open(NOW)


def test_a_promise_alone_changes_no_bucket() -> None:
    node = follower()
    assert node.consider(NOW, prepared(OLD)) == []
    assert node.promised == OLD.epoch
    assert node.open(NOW) == []
    assert node.table == CLOSED


def test_a_committed_view_is_opened() -> None:
    node = follower()
    follows(node)
    assert node.view == OLD
    assert node.table == buckets.states(OLD, 1)


def test_who_drains_promises_no_view_that_gives_it_buckets() -> None:
    node = follower()
    node.standing.ready = False
    node.consider(NOW, prepared(OLD))
    assert node.promised == NEVER
    node.consider(NOW, prepared(NEW))
    assert node.promised == NEW.epoch, "node 2 owns everything in it"


def test_a_view_committed_without_our_promise_is_not_opened() -> None:
    node = follower()
    node.consider(NOW, committed(OLD))
    assert node.open(NOW) == []


def test_what_others_get_is_released_once_the_view_is_committed() -> None:
    node = follower()
    follows(node)
    assert node.consider(NOW, prepared(NEW)) == []
    assert node.holds
    (install,) = node.consider(NOW, committed(NEW, 1))
    assert isinstance(install, Install)
    assert install.states == CLOSED
    assert node.released == NEW.epoch


def test_nothing_is_gained_before_every_loser_has_released() -> None:
    node = follower(3)
    view = view_of(Epoch(1, 2), 1, 2, 3)
    node.consider(NOW, prepared(view))
    node.consider(NOW, committed(view, 2, 3))
    says(node, 2, up(view, released=view.epoch))
    says(node, 3, up(view, released=NEVER))
    assert node.open(NOW) == []
    says(node, 3, up(view, released=view.epoch))
    assert node.open(NOW)


def test_after_a_promise_nothing_older_is_promised_or_opened() -> None:
    node = follower()
    node.consider(NOW, prepared(OLD))
    node.consider(NOW, prepared(NEW))
    node.consider(NOW, prepared(OLD))
    node.consider(NOW, committed(OLD))
    assert node.promised == NEW.epoch
    assert node.open(NOW) == []


def test_a_view_without_somebody_who_is_heard_is_not_promised() -> None:
    node = follower(3)
    says(node, 3, up(OLD))
    node.consider(NOW, prepared(view_of(Epoch(1, 1), 1, 2)))
    assert node.promised == NEVER


def test_a_view_without_a_silent_node_is_promised() -> None:
    node = follower(3, silent=(3,))
    node.consider(NOW, prepared(view_of(Epoch(1, 1), 1, 2)))
    assert node.promised == Epoch(1, 1)


def test_a_bystander_has_to_promise_the_view_first() -> None:
    node = follower(3)
    view = view_of(Epoch(1, 1), 1, 2)
    node.consider(NOW, prepared(view))
    assert node.promised == NEVER
    says(node, 3, up(view, status=JOINING.status, promised=view.epoch))
    node.consider(NOW, prepared(view))
    assert node.promised == view.epoch


def test_who_holds_nothing_promises_a_view_without_itself() -> None:
    node = follower(3)
    node.consider(NOW, prepared(view_of(Epoch(1, 2), 2, 3)))
    assert node.promised == Epoch(1, 2)
    assert node.promise is None


def test_who_holds_something_does_not() -> None:
    node = follower(2)
    follows(node)
    node.consider(NOW, prepared(view_of(Epoch(2, 2), 2)))
    assert node.promised == OLD.epoch


def test_a_view_under_a_key_that_is_not_ours_is_not_promised() -> None:
    node = follower(hash_key_ids=(8, 9))
    node.consider(NOW, prepared(OLD))
    assert node.promised == NEVER


@pytest.mark.parametrize(("silent", "promises"), [((5,), True), ((4, 5), True), ((3, 4, 5), False)])
def test_with_a_quorum_a_minority_promises_nothing(silent: tuple[int, ...], promises: bool) -> None:
    node = follower(5, silent=silent, quorum="majority")
    view = view_of(Epoch(1, 1), *(n for n in range(1, 6) if n not in silent))
    node.consider(NOW, prepared(view))
    assert (node.promised == view.epoch) is promises


def test_with_a_witness_nobody_is_left_out_without_its_answer() -> None:
    node = follower(2, silent=(2,), witness=True)
    view = view_of(Epoch(1, 1), 1)
    node.consider(NOW + ms(350), prepared(view))
    assert node.promised == NEVER
    node.witness_answered(NOW)
    node.consider(NOW + ms(401), prepared(view))
    assert node.promised == NEVER, "its last answer is too old"
    node.consider(NOW + ms(400), prepared(view))
    assert node.promised == view.epoch


def test_the_witnesss_first_answer_after_a_pause_does_not_count_at_once() -> None:
    node = follower(2, silent=(2,), witness=True)
    view = view_of(Epoch(1, 1), 1)
    back = NOW + ms(1000)
    node.witness_answered(back)
    node.witness_answered(back + ms(50))
    node.consider(back + ms(99), prepared(view))
    assert node.promised == NEVER, "a living peer may not have had the time to say a word"
    node.consider(back + ms(100), prepared(view))
    assert node.promised == view.epoch


def test_who_closes_forgets_the_view_but_not_the_promise() -> None:
    node = follower()
    follows(node)
    node.consider(NOW, prepared(NEW))
    (install,) = node.close()
    assert isinstance(install, Install)
    assert install.states == CLOSED
    assert node.view is None
    assert node.promised == NEW.epoch
    assert node.flows, "flows of the view that it left may live here"
    node.consider(NOW, committed(NEW, 1))
    assert node.open(NOW) == []


def test_the_newest_view_is_one_that_may_be_in_force_somewhere() -> None:
    node = follower()
    follows(node)
    node.consider(NOW, prepared(NEW))
    assert node.newest == NEW, "its coordinator may have committed it"
    node.consider(NOW, prepared(view_of(Epoch(3, 1), 1, 2)))
    assert node.newest == NEW, "our own is not committed"
    node.consider(NOW, committed(view_of(Epoch(3, 1), 1, 2)))
    assert node.newest == view_of(Epoch(3, 1), 1, 2)
    node.close()
    assert node.newest is None
