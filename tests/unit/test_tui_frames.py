"""What the terminal view draws of a farm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farmd.tui.frame import Moment
from farmd.tui.look import Colours, Look
from tests.unit.drawn import compare
from tests.unit.statuses import NOW_S, buckets, check, event, member, service, status, traffic

FRAMES = Path(__file__).with_name("frames")

NO_COLOR = Look(Colours.NONE)
GONE: dict[str, Any] = {"status": "failed", "member": False, "traffic": None, "round_trip_ms": None, "heard": False}


def failed() -> dict[str, Any]:
    return status(
        members=[member(1), member(2, **GONE), member(3)],
        events=[event(1, "8.1", "n2 failed: n1 and n3 take its 341 buckets after 412 ms")],
    )


def moving(**changes: Any) -> dict[str, Any]:
    before = [member(number) for number in (1, 2, 3)]
    after = [member(1), member(2, status="draining", draining=True), member(3)]
    return status(members=after, buckets=buckets(after, before), moving=341, **changes)


def converging() -> dict[str, Any]:
    found = moving(converged=False)
    return found | {"buckets": found["buckets"] | {"contested": list(range(0, 200, 5))}}


def announced() -> dict[str, Any]:
    found = status(status="draining", drain_announced=True)
    found["members"][0]["status"] = "draining"
    return found


def drained() -> dict[str, Any]:
    here = member(1, status="draining", draining=True)
    return status(members=[here, member(2), member(3)], status="draining", drain_announced=True)


def failing() -> dict[str, Any]:
    """http fails on n1, which keeps its place, and on n2, whose nginx was given up."""
    given_up = member(2, failing=["http", "nginx"], ready=False, status="draining", draining=True)
    return status(
        members=[member(1, failing=["http"]), given_up, member(3)],
        failing=["http"],
        degraded=True,
        services=[service("nginx"), service("php-fpm", "failed")],
        checks=[check("nginx", "service"), check("http", state="failing"), check("router", "ping")],
    )


def fenced() -> dict[str, Any]:
    return status(
        members=[member(1, traffic=traffic(0, 0, 2400)), member(2, **GONE), member(3, **GONE)],
        lease="fenced",
        events=[],
        buckets=buckets([]),
    )


def large() -> dict[str, Any]:
    members = [member(number) for number in range(1, 33)]
    members[20] = member(21, **GONE)
    members[30] = member(31, failing=["http"])
    return status(members=members)


def hostile() -> dict[str, Any]:
    """A check printed what a terminal obeys; names are long; nothing fits."""
    return status(
        members=[member(1, name="web-server-in-the-cellar-of-the-north-wing"), member(2, deaf=True)],
        node="web-server-in-the-cellar-of-the-north-wing",
        vips=[f"2001:db8:1234:5678:9abc:def0:1234:{number:x}" for number in range(8)],
        ready=False,
        reason="check \x1b[2Jhttp\n\x07said: " + "é漢字 " * 40,
        events=[event(-5, "1234567.12", f"\x1b]0;owned\x07{'x' * 300}{number}") for number in range(20)],
    )


CASES: dict[str, tuple[dict[str, Any], int, int, Look, Moment]] = {
    "three": (status(), 80, 24, Look(), Moment(NOW_S)),
    "three-wide": (status(), 120, 40, Look(), Moment(NOW_S)),
    "three-widest": (status(), 200, 50, Look(), Moment(NOW_S)),
    "three-eight-colours": (moving(), 80, 24, Look(Colours.EIGHT), Moment(NOW_S)),
    "three-no-color": (status(), 80, 24, NO_COLOR, Moment(NOW_S)),
    "three-no-color-wide": (moving(), 150, 40, NO_COLOR, Moment(NOW_S)),
    "three-no-color-moving": (moving(), 80, 24, NO_COLOR, Moment(NOW_S)),
    "three-ascii": (moving(), 80, 24, Look(Colours.NONE, unicode=False), Moment(NOW_S)),
    "three-printed": (status(), 100, 36, NO_COLOR, Moment(NOW_S, keys=False)),
    "one": (status(1, events=[]), 80, 24, Look(), Moment(NOW_S)),
    "twelve": (status(12), 80, 24, Look(), Moment(NOW_S)),
    "large": (large(), 80, 24, Look(), Moment(NOW_S)),
    "large-no-color": (large(), 80, 24, NO_COLOR, Moment(NOW_S)),
    "large-wide": (large(), 200, 60, Look(), Moment(NOW_S)),
    "failed": (failed(), 80, 24, Look(), Moment(NOW_S)),
    "moving": (moving(), 80, 24, Look(), Moment(NOW_S)),
    "converging": (converging(), 80, 24, Look(), Moment(NOW_S)),
    "announced": (announced(), 80, 24, Look(), Moment(NOW_S)),
    "drained": (drained(), 80, 24, Look(), Moment(NOW_S)),
    "failing": (failing(), 80, 24, Look(), Moment(NOW_S)),
    "fenced": (fenced(), 80, 24, Look(), Moment(NOW_S)),
    "silent": (status(), 80, 24, Look(), Moment(NOW_S, trouble="farmd did not answer 'watch' within 2 s")),
    "hostile": (hostile(), 80, 24, NO_COLOR, Moment(NOW_S)),
    "narrow": (status(), 79, 24, NO_COLOR, Moment(NOW_S)),
    "tiny": (status(), 12, 2, NO_COLOR, Moment(NOW_S)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_frame_looks_as_it_did(case: str) -> None:
    compare(FRAMES / f"{case}.txt", *CASES[case])


def test_no_frame_is_left_over() -> None:
    assert {file.stem for file in FRAMES.iterdir()} == set(CASES)
