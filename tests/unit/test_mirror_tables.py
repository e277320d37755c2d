"""What `farmctl status` and `events` draw of a mirror."""

from __future__ import annotations

from typing import Any

import pytest

from farmd import tables
from tests.unit import mirrors
from tests.unit.statuses import check
from tests.unit.test_tables import lines


def test_a_mirror_in_which_all_is_well() -> None:
    assert lines(tables.mirror, mirrors.status(services=[])) == [
        "mirror db  10.0.0.200, fd00::200  on eth0  vmac, xdp native  ack applied",
        "  /var/lib/postgresql/15/main",
        "this is n1  PRIM  ready  in sync",
        "node  role    data    generation  heard",
        "n1    PRIM    insync  7.1         this node",
        "n2    SECOND  insync  7.1         0.0 s ago",
        "writes: 4.2k/s, 17.2 MB/s, 0.128 ms (99 %: 0.512 ms); 8.2 kB on the way, 118 zones to compare after a crash",
        "heard: 10.0.0.2 0.0 s ago, 10.99.0.2 0.0 s ago, witness 0.2 s ago",
        "counted: owned 51200, drop_fenced 3",
    ]


def test_a_resync_is_a_line() -> None:
    drawn = lines(tables.mirror, mirrors.resyncing())
    assert "this is n1  ALONE  ready  not in sync" in drawn
    assert "resync: 40.0 % of 8.0 GB, 310 MB/s, 52.0 MB sent, 16 s left" in drawn
    assert lines(tables.mirror, mirrors.status(progress=mirrors.progress(left_s=None)))[6].startswith("verify: 40.0 %")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"readiness": "not-ready", "reason": "what\x1b[2J is wrong"}, "not-ready: what\ufffd[2J is wrong"),
        ({"reason": "the disk is full"}, "trouble: the disk is full"),
        ({"linked": False, "no_link": "TLS fails"}, "not linked: TLS fails"),
        ({"vip_trouble": "10.0.0.200 is also used"}, "virtual address: 10.0.0.200 is also used"),
        ({"diverged": {"folder": "/kept", "files": None, "since": 0.0}},
         "diverged: files that only this node had are kept in /kept"),
        ({"verified": {"at": 0.0, "count": 3, "differing": []}}, "verified: 3 files differ"),
        ({"figures": mirrors.figures(held=7)}, "held: 7 changes wait for the peer"),
        ({"clocks_apart_s": -3.21}, "clocks: 3.2 s apart"),
    ],
)  # fmt: skip
def test_what_somebody_has_to_look_at(changes: dict[str, Any], line: str) -> None:
    assert line in lines(tables.mirror, mirrors.status(**changes))


def test_a_silent_peer_and_a_node_that_waits() -> None:
    drawn = lines(tables.mirror, mirrors.waiting())
    assert "n2    WAIT    outdated  6.2         this node" in drawn
    assert "n1    silent  unknown   none        never" in drawn


def test_only_failing_checks_are_shown() -> None:
    drawn = lines(tables.mirror, mirrors.status(checks=[check("page", state="failing"), check("ping")]))
    assert any(line.startswith("page   http  failing") for line in drawn)
    assert not any(line.startswith("ping") for line in drawn)


def test_events_are_stamped_with_the_generation() -> None:
    first, *_ = lines(tables.events, mirrors.status())
    assert first.endswith("     7.1  n2 is in sync again: 52 MB of 8.0 GB differed")
