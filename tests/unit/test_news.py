"""Lines for the log that tell why a view is about to change."""

from __future__ import annotations

from dataclasses import replace

from farmd.core.events import Echo, NodeState
from farmd.core.evidence import Evidence
from farmd.core.news import News
from farmd.core.standing import Standing
from tests.unit.states import JOINING, beat, ms, settings

OWN = 5
NOW = ms(10)


class Desk:
    """The news of node 1, whose peers are nodes 2 and 3."""

    def __init__(self) -> None:
        chosen = settings(1, 3, names={2: "web-b"})
        self.evidence = Evidence[NodeState]([2, 3], OWN, 0, chosen.suspect_ns, chosen.stale_ns)
        self.evidence.sent.record(1, 0)
        self.standing = Standing(ms(700), ready=True)
        self._news = News(chosen)

    def hears(self, peer: int, seq: int, **changes: object) -> None:
        state = replace(JOINING, **changes)  # type: ignore[arg-type]
        assert self.evidence.accept(NOW, beat(peer, seq, Echo(OWN, 1), state))

    def told(self, now_ns: int = NOW) -> list[str]:
        return self._news.since(now_ns, self.evidence, self.standing)


def test_where_nothing_changes_nothing_is_told() -> None:
    desk = Desk()
    desk.hears(2, 1)
    assert desk.told() == []


def test_silence_and_its_end() -> None:
    desk = Desk()
    desk.hears(2, 1)
    assert desk.told(ms(400)) == ["node 3 is silent"]
    assert desk.told(ms(410)) == ["node web-b is silent"]
    desk.hears(3, 1)
    desk.evidence.peers[3].heard_ns = ms(405)
    assert desk.told(ms(411)) == ["node 3 is heard"]


def test_the_health_of_peers() -> None:
    desk = Desk()
    desk.hears(2, 1, ready=False, failing=("app", "db"))
    assert desk.told() == ["node web-b is not ready (failing: app, db)"]
    assert desk.told() == []
    desk.hears(2, 2, failing=("db",))
    assert desk.told() == ["node web-b is ready (failing: db)"]
    desk.hears(2, 3)
    assert desk.told() == ["node web-b is ready"]


def test_a_drain_from_its_announcement_on() -> None:
    desk = Desk()
    desk.standing.notice(NOW, drained=True, serves=True)
    assert desk.told() == ["this node is to be drained; its buckets move in 0.7 s"]
    assert desk.told() == []
    desk.standing.notice(NOW, drained=False, serves=True)
    assert desk.told() == ["the drain is taken back"]
    desk.standing.leave_deadline_ns = NOW
    desk.standing.notice(NOW, drained=False, serves=True)
    assert desk.told() == ["this node is about to leave"]
