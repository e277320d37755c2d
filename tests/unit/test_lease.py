"""How long the filter may answer."""

from __future__ import annotations

from farmd.core.events import NodeState
from farmd.core.evidence import Evidence
from farmd.core.lease import NO_CAP, cap
from tests.unit.states import ms, settings

NOW = ms(1000)
D = ms(400)


def evidence(size: int, **confirmed_ms: int) -> Evidence[NodeState]:
    """Node 1's evidence: peers n2, n3 ... were heard just now and have heard us at these times."""
    kept = Evidence[NodeState](list(range(2, size + 1)), 5, 0, D, ms(100))
    for peer in kept.peers.values():
        peer.incarnation, peer.heard_ns, peer.confirmed_ns = 7, NOW, ms(confirmed_ms.get(f"n{peer.id}", 1000))
        peer.deaf = NOW - peer.confirmed_ns > kept.stale_ns
    return kept


def members(size: int) -> frozenset[int]:
    return frozenset(range(1, size + 1))


def test_where_everybody_hears_us_nothing_caps_the_lease() -> None:
    assert cap(settings(1, 3), evidence(3), members(3), 0, NOW) == NO_CAP


def test_a_deaf_peer_caps_it_at_the_time_when_it_may_suspect_us() -> None:
    assert cap(settings(1, 3), evidence(3, n2=850), members(3), 0, NOW) == ms(850) + D


def test_the_one_that_has_been_deaf_for_longest_decides() -> None:
    assert cap(settings(1, 3), evidence(3, n2=850, n3=700), members(3), 0, NOW) == ms(700) + D


def test_a_silent_peer_caps_nothing() -> None:
    kept = evidence(2, n2=300)
    kept.peers[2].heard_ns = NOW - D
    assert cap(settings(1, 2), kept, members(2), 0, NOW) == NO_CAP


def test_an_unproved_peer_caps_nothing() -> None:
    kept = evidence(2, n2=300)
    kept.peers[2].incarnation = None
    assert cap(settings(1, 2), kept, members(2), 0, NOW) == NO_CAP


def test_with_a_quorum_the_peers_that_make_a_majority_cap_it() -> None:
    kept = evidence(5, n2=990, n3=900, n4=500, n5=100)
    for peer in kept.peers.values():
        peer.deaf = False
    assert cap(settings(1, 5, quorum="majority"), kept, members(5), 0, NOW) == ms(900) + D


def test_a_peer_that_returns_has_not_heard_us_yet_and_makes_no_majority() -> None:
    kept = evidence(3, n2=400, n3=500)
    for peer in kept.peers.values():
        peer.granted_ns = ms(700)
    assert cap(settings(1, 3, quorum="majority"), kept, members(3), 0, NOW) == ms(500) + D
    assert cap(settings(1, 3, witness=True), kept, members(3), 0, NOW) == ms(400) + D
    assert cap(settings(1, 3), kept, members(3), 0, NOW) == ms(700) + D


def test_of_two_with_a_quorum_each_needs_the_other() -> None:
    kept = evidence(2, n2=600)
    kept.peers[2].heard_ns = NOW - D
    assert cap(settings(1, 2, quorum="majority"), kept, members(2), 0, NOW) == ms(600) + D


def test_a_farm_of_one_is_its_own_majority() -> None:
    assert cap(settings(1, 1, quorum="majority"), evidence(1), members(1), 0, NOW) == NOW + D


def test_with_a_witness_a_silent_member_caps_it_until_the_witness_answers() -> None:
    kept = evidence(2, n2=300)
    kept.peers[2].heard_ns = NOW - D
    assert cap(settings(1, 2, witness=True), kept, members(2), 0, NOW) == ms(300) + D
    assert cap(settings(1, 2, witness=True), kept, members(2), ms(950), NOW) == ms(950) + D


def test_the_witness_does_not_excuse_a_deaf_peer() -> None:
    assert cap(settings(1, 2, witness=True), evidence(2, n2=700), members(2), ms(950), NOW) == ms(700) + D


def test_a_node_outside_the_view_needs_no_witness() -> None:
    kept = evidence(3, n3=300)
    kept.peers[3].heard_ns = NOW - D
    assert cap(settings(1, 3, witness=True), kept, frozenset({1, 2}), 0, NOW) == NO_CAP
