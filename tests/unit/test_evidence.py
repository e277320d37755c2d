"""What counts as evidence of life and of being heard, and what does not."""

from __future__ import annotations

from farmd.core.events import Echo, NodeState
from farmd.core.evidence import Evidence, SentLog
from tests.unit.states import RUN, beat, ms

OWN = 5
SUSPECT, STALE = ms(400), ms(100)


def evidence(*peers: int) -> Evidence[NodeState]:
    """The evidence of a run that said its message 1 at 0 ms, 2 at 10 ms and so on."""
    kept = Evidence[NodeState](list(peers or (2,)), OWN, 0, SUSPECT, STALE)
    for seq in range(1, 101):
        kept.sent.record(seq, ms(10 * (seq - 1)))
    return kept


def proved(*peers: int) -> Evidence[NodeState]:
    """Evidence of peers that have proved themselves at 10 ms."""
    kept = evidence(*peers)
    for peer in kept.peers:
        assert kept.accept(ms(10), beat(peer, 1, Echo(OWN, 1)))
    return kept


def test_a_run_that_has_not_heard_us_proves_nothing_but_is_noticed() -> None:
    kept = evidence()
    assert not kept.accept(ms(10), beat(2, 1))
    assert kept.unproved == 1
    assert kept.live(ms(10)) == []
    assert kept.echoes(ms(10)) == {2: Echo(RUN, 1, proved=False)}


def test_a_run_that_echoes_us_is_alive() -> None:
    kept = evidence()
    assert kept.accept(ms(10), beat(2, 1, Echo(OWN, 1)))
    assert [peer.id for peer in kept.live(ms(10))] == [2]
    assert kept.echoes(ms(10)) == {2: Echo(RUN, 1)}


def test_what_another_run_of_ours_said_proves_nothing() -> None:
    assert not evidence().accept(ms(10), beat(2, 1, Echo(OWN + 1, 1)))


def test_what_we_never_said_proves_nothing() -> None:
    assert not evidence().accept(ms(10), beat(2, 1, Echo(OWN, 5000)))


def test_what_we_said_long_ago_proves_nothing() -> None:
    assert not evidence().accept(SUSPECT + 1, beat(2, 1, Echo(OWN, 1)))
    assert evidence().accept(SUSPECT, beat(2, 1, Echo(OWN, 1)))


def test_a_repeated_or_overtaken_message_is_no_evidence() -> None:
    kept = proved()
    assert kept.accept(ms(50), beat(2, 3, Echo(OWN, 4)))
    assert not kept.accept(ms(60), beat(2, 3, Echo(OWN, 4)))
    assert not kept.accept(ms(60), beat(2, 2, Echo(OWN, 5)))
    assert kept.peers[2].heard_ns == ms(50)
    assert kept.unproved == 2


def test_a_recording_of_an_earlier_run_does_not_disturb_the_present_one() -> None:
    kept = proved()
    assert not kept.accept(ms(20), beat(2, 900, incarnation=RUN - 1))
    assert kept.echoes(ms(10)) == {2: Echo(RUN, 1)}


def test_a_recording_does_not_keep_the_dead_alive() -> None:
    kept = proved()
    for at in range(20, 1000, 20):
        kept.accept(ms(at), beat(2, 1, Echo(OWN, 1)))
        kept.accept(ms(at), beat(2, at, Echo(OWN - 1, at), incarnation=RUN - 1))
    assert kept.suspects(ms(1000)) == {2}


def test_a_new_run_takes_over_by_echoing_us() -> None:
    kept = proved()
    assert kept.accept(ms(30), beat(2, 1, Echo(OWN, 3), incarnation=RUN + 1))
    assert kept.echoes(ms(30)) == {2: Echo(RUN + 1, 1)}
    assert not kept.accept(ms(40), beat(2, 99, incarnation=RUN))


def test_a_new_run_is_noticed_once_the_old_one_falls_silent() -> None:
    kept = proved()
    kept.accept(ms(10) + STALE, beat(2, 1, incarnation=RUN + 1))
    assert kept.echoes(ms(10)) == {2: Echo(RUN, 1)}
    kept.accept(ms(10) + STALE + 1, beat(2, 1, incarnation=RUN + 1))
    assert kept.echoes(ms(10)) == {2: Echo(RUN + 1, 1, proved=False)}


def test_silence_begins_with_the_suspicion_time() -> None:
    kept = proved()
    assert kept.suspects(ms(10) + SUSPECT - 1) == frozenset()
    assert kept.suspects(ms(10) + SUSPECT) == {2}


def test_who_was_never_heard_is_silent_only_after_the_suspicion_time() -> None:
    assert evidence().suspects(SUSPECT - 1) == frozenset()
    assert evidence().suspects(SUSPECT) == {2}


def test_time_in_which_we_did_not_listen_is_nobodys_silence() -> None:
    kept = proved()
    kept.forgive(ms(300), ms(600))
    assert kept.suspects(ms(600)) == frozenset()
    assert kept.suspects(ms(710)) == {2}


def test_forgiveness_makes_nobody_heard_in_the_future() -> None:
    kept = proved()
    kept.forgive(ms(300), ms(20))
    assert kept.peers[2].heard_ns == ms(20)


def test_an_echo_confirms_when_we_were_heard() -> None:
    kept = proved()
    kept.accept(ms(100), beat(2, 2, Echo(OWN, 9)))
    assert kept.peers[2].confirmed_ns == ms(80)
    kept.accept(ms(110), beat(2, 3, Echo(OWN, 7)))
    assert kept.peers[2].confirmed_ns == ms(80), "an older echo says nothing new"


def test_an_echo_that_is_only_noticed_confirms_nothing() -> None:
    kept = proved()
    before = kept.peers[2].confirmed_ns
    kept.accept(ms(100), beat(2, 2, Echo(OWN, 9, proved=False)))
    assert kept.peers[2].confirmed_ns == before


def test_a_peer_that_echoes_old_messages_is_deaf() -> None:
    kept = proved()
    kept.accept(ms(50), beat(2, 2, Echo(OWN, 5)))
    assert kept.fit(ms(50))
    kept.accept(ms(40) + STALE, beat(2, 3, Echo(OWN, 5)))
    assert kept.fit(ms(40) + STALE)
    kept.accept(ms(40) + STALE + 1, beat(2, 4, Echo(OWN, 5)))
    assert not kept.fit(ms(40) + STALE + 1)


def test_a_silent_peer_is_not_held_against_us() -> None:
    kept = proved()
    kept.accept(ms(300), beat(2, 2, Echo(OWN, 1)))
    assert not kept.fit(ms(300))
    assert kept.fit(ms(300) + SUSPECT)


def test_after_a_partition_a_peer_has_time_to_hear_us_before_it_counts_as_deaf() -> None:
    kept = proved()
    back = ms(10) + 2 * SUSPECT
    kept.accept(back, beat(2, 2, Echo(OWN, 1)))
    assert kept.peers[2].reckoned_ns == back - SUSPECT + STALE
    assert kept.peers[2].deaf
    assert kept.peers[2].confirmed_ns == 0, "a grant is no proof that it has heard us"


def test_what_was_sent_is_forgotten_when_no_echo_of_it_counts() -> None:
    sent = SentLog(keep_ns=100)
    sent.record(1, 0)
    sent.record(2, 100)
    assert sent.time_of(1) == 0
    sent.record(3, 101)
    assert sent.time_of(1) is None
    assert sent.time_of(2) == 100


def test_an_echo_says_for_how_long_its_message_was_held() -> None:
    kept = proved()
    assert kept.echoes(ms(10.25)) == {2: Echo(RUN, 1, held_us=250)}
    assert kept.echoes(ms(10_000_000)) == {2: Echo(RUN, 1, held_us=2**32 - 1)}


def test_who_was_forgiven_a_silence_did_not_speak_in_it() -> None:
    kept = proved()
    kept.forgive(ms(300), ms(600))
    assert kept.echoes(ms(600)) == {2: Echo(RUN, 1, held_us=590_000)}


def test_the_round_trip_leaves_out_the_time_that_the_peer_held_our_message() -> None:
    kept = evidence()
    kept.accept(ms(40), beat(2, 1, Echo(OWN, 2, held_us=29_000)))
    assert kept.peers[2].round_trip_ns == ms(1)


def test_the_round_trip_is_smoothed_over_the_last_measurements() -> None:
    kept = evidence()
    kept.accept(ms(1), beat(2, 1, Echo(OWN, 1)))
    kept.accept(ms(19), beat(2, 2, Echo(OWN, 2)))
    assert kept.peers[2].round_trip_ns == ms(2), "7/8 of 1 ms and 1/8 of 9 ms"


def test_an_echo_that_repeats_an_older_one_measures_nothing() -> None:
    kept = evidence()
    kept.accept(ms(1), beat(2, 1, Echo(OWN, 1)))
    kept.accept(ms(90), beat(2, 2, Echo(OWN, 1)))
    assert kept.peers[2].round_trip_ns == ms(1)


def test_who_claims_to_have_held_a_message_before_it_was_sent_is_near() -> None:
    kept = evidence()
    kept.accept(ms(1), beat(2, 1, Echo(OWN, 1, held_us=2**32 - 1)))
    assert kept.peers[2].round_trip_ns == 0


def test_peers_are_listed_in_order() -> None:
    assert [peer.id for peer in proved(9, 3, 7).live(ms(10))] == [3, 7, 9]
