"""Whether a node gives its buckets away: its health, its orders, and how long a drain is announced before it begins."""

from __future__ import annotations

from farmd.core.standing import Standing
from tests.unit.states import ms

AHEAD = ms(700)
NOW = ms(5000)


def announced(*, serves: bool = True) -> Standing:
    standing = Standing(AHEAD, ready=True)
    standing.notice(NOW, drained=True, serves=serves)
    return standing


def test_a_drain_begins_when_it_has_been_announced_for_its_time() -> None:
    standing = announced()
    standing.notice(NOW + ms(300), drained=True, serves=True)
    assert standing.drain_announced
    assert not standing.draining(NOW + AHEAD - 1)
    assert standing.draining(NOW + AHEAD)


def test_who_does_not_serve_has_nothing_to_announce() -> None:
    assert announced(serves=False).draining(NOW)


def test_who_ceases_to_serve_during_the_announcement_drains() -> None:
    standing = announced()
    standing.notice(NOW + 1, drained=True, serves=False)
    standing.notice(NOW + 2, drained=True, serves=True)
    assert standing.draining(NOW + 2)


def test_an_order_taken_back_is_none() -> None:
    standing = announced()
    standing.notice(NOW + AHEAD, drained=False, serves=True)
    assert not standing.drain_announced
    assert not standing.draining(NOW + AHEAD)
    standing.notice(NOW + AHEAD, drained=True, serves=True)
    assert not standing.draining(NOW + AHEAD)


def test_a_leaver_announces_it_too_unless_its_time_is_over() -> None:
    standing = Standing(AHEAD, ready=True)
    standing.leave_deadline_ns = NOW + ms(60_000)
    standing.notice(NOW, drained=False, serves=True)
    assert standing.leaving
    assert not standing.draining(NOW)
    standing.leave_deadline_ns = NOW + 1
    standing.notice(NOW + 1, drained=False, serves=True)
    assert standing.draining(NOW + 1)


def test_who_is_not_ready_drains_without_any_announcement() -> None:
    standing = Standing(AHEAD, ready=False)
    assert standing.draining(NOW)
    assert not standing.drain_announced
