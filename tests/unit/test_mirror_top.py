"""A mirror in the terminal view: golden frames, and what holds for every frame whatever mirrord says.

FARMD_REWRITE=1 writes the frames anew; what a file holds is told in drawn.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from farmd.tui import history, mirror_verdict, transitions
from farmd.tui.frame import HEIGHT_MIN, WIDTH_MIN, Moment, render, waiting
from farmd.tui.history import KEPT, NS, Point, bars, extended
from farmd.tui.look import Colours, Look
from farmd.tui.numbers import size
from farmd.tui.verdict import BAD, GOOD, WARN
from tests.unit import mirrors
from tests.unit.drawn import compare
from tests.unit.statuses import NOW_S, check, service
from tests.unit.test_tui import LOOKS, lines

FRAMES = Path(__file__).with_name("mirror_frames")

NO_COLOR = Look(Colours.NONE)
HISTORY = tuple(
    Point(second * NS, 4000 + 3000 * math.sin(second / 9), 0.4 + 0.3 * (second % 7)) for second in range(KEPT)
)
MOMENT = Moment(NOW_S, history=HISTORY)


def busy() -> dict[str, Any]:
    return mirrors.status(
        services=[service("postgresql"), service("pgbouncer", "failed")],
        checks=[check("postgresql", "service"), check("select 1", "exec"), check("page", state="failing")],
    )


def starting() -> dict[str, Any]:
    return mirrors.alone(
        readiness="transient", reason="postgresql is starting", services=[service("postgresql", "starting")]
    )


def stopped() -> dict[str, Any]:
    return mirrors.second(role="STOP", in_sync=False, linked=False, reason="", peer=mirrors.peer("ALONE", name="n1"))


def diverged() -> dict[str, Any]:
    kept = {"folder": "/var/lib/mirrord/db/diverged-2026-11-21", "files": 12, "since": NOW_S - 60}
    return mirrors.second(diverged=kept)


def half_heard() -> dict[str, Any]:
    """One network and the witness are gone, and the clocks are far apart."""
    there = mirrors.peer()
    there["networks"][1]["heard_ms_ago"] = 65_000.0
    gone = {"configured": ["10.0.0.254"], "answered_ms_ago": None}
    return mirrors.status(peer=there, witness=gone, clocks_apart_s=3.2)


def held() -> dict[str, Any]:
    return mirrors.status(linked=False, in_sync=False, figures=mirrors.figures(0, 0, held=16, lag_bytes=65536))


def hostile() -> dict[str, Any]:
    """A check printed what a terminal obeys; names are long; nothing fits."""
    name = "database-server-in-the-cellar-of-the-north-wing"
    return mirrors.status(
        node=name,
        vips=[f"2001:db8:1234:5678:9abc:def0:1234:{number:x}" for number in range(8)],
        readiness="not-ready",
        reason="check \x1b[2Jselect\n\x07said: " + "é漢字 " * 40,
        events=[
            mirrors.event(-5, "18446744073709551615.255", f"\x1b]0;owned\x07{'x' * 300}{number}")
            for number in range(20)
        ],
        peer=mirrors.peer(name=name[::-1], networks=[{"address": "fd00::" + "1" * 40, "heard_ms_ago": None}] * 4),
    )


CASES: dict[str, tuple[dict[str, Any], int, int, Look, Moment]] = {
    "in-sync": (mirrors.status(), 80, 24, Look(), MOMENT),
    "in-sync-wide": (mirrors.status(), 120, 40, Look(), MOMENT),
    "in-sync-widest": (mirrors.status(), 200, 50, Look(), MOMENT),
    "in-sync-eight-colours": (mirrors.status(), 80, 24, Look(Colours.EIGHT), MOMENT),
    "in-sync-no-color": (mirrors.status(), 80, 24, NO_COLOR, MOMENT),
    "in-sync-no-color-wide": (mirrors.status(), 120, 40, NO_COLOR, MOMENT),
    "in-sync-ascii": (mirrors.resyncing(), 80, 24, Look(Colours.NONE, unicode=False), MOMENT),
    "printed": (mirrors.status(), 100, 36, NO_COLOR, Moment(NOW_S, keys=False)),
    "one-of-many": (mirrors.status(), 80, 24, NO_COLOR, Moment(NOW_S, next="web")),
    "alone": (mirrors.alone(), 80, 24, Look(), MOMENT),
    "resync": (mirrors.resyncing(), 80, 24, Look(), MOMENT),
    "resync-wide": (mirrors.resyncing(), 120, 40, Look(), MOMENT),
    "verify": (mirrors.status(progress=mirrors.progress(0.99, left_s=None)), 80, 24, NO_COLOR, MOMENT),
    "second": (mirrors.second(), 80, 24, Look(), Moment(NOW_S)),
    "waiting": (mirrors.waiting(), 80, 24, Look(), Moment(NOW_S)),
    "blank": (mirrors.waiting(condition="blank", generation=None, vips=[]), 80, 24, NO_COLOR, Moment(NOW_S)),
    "stopped": (stopped(), 80, 24, Look(), Moment(NOW_S)),
    "starting": (starting(), 80, 24, Look(), MOMENT),
    "busy": (busy(), 80, 24, Look(), MOMENT),
    "diverged": (diverged(), 80, 24, Look(), Moment(NOW_S)),
    "half-heard": (half_heard(), 80, 24, Look(), MOMENT),
    "held": (held(), 80, 24, Look(), MOMENT),
    "silent": (mirrors.status(), 80, 24, Look(), Moment(NOW_S, trouble="mirrord did not answer 'watch' within 2 s")),
    "hostile": (hostile(), 80, 24, NO_COLOR, MOMENT),
}


@pytest.mark.parametrize("case", CASES)
def test_a_frame_looks_as_it_did(case: str) -> None:
    compare(FRAMES / f"{case}.txt", *CASES[case])


def test_no_frame_is_left_over() -> None:
    assert {file.stem for file in FRAMES.iterdir()} == set(CASES)


# -- every frame -------------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=60)
NUMBERS = st.floats(0, 1e13)
ROLES = st.sampled_from(["STOP", "WAIT", "SECOND", "PRIM", "ALONE"])
CONDITIONS = st.sampled_from(["blank", "insync", "alone", "outdated"])
GENERATIONS = st.sampled_from([None, "7.1", "18446744073709551615.255"])
MAYBE = st.none() | NUMBERS


@st.composite
def any_status(draw: Callable[..., Any]) -> dict[str, Any]:
    network = st.fixed_dictionaries({"address": TEXTS, "heard_ms_ago": MAYBE})
    role = draw(st.none() | ROLES)
    return mirrors.status(
        role=draw(ROLES),
        readiness=draw(st.sampled_from(["ready", "transient", "not-ready"])),
        reason=draw(TEXTS),
        generation=draw(GENERATIONS),
        condition=draw(CONDITIONS),
        in_sync=draw(st.booleans()),
        linked=draw(st.booleans()),
        vips=draw(st.lists(TEXTS, max_size=8)),
        lease=draw(st.sampled_from(["held", "fenced"])),
        vip_trouble=draw(TEXTS),
        figures=mirrors.figures(
            draw(NUMBERS),
            draw(NUMBERS),
            held=draw(st.integers(0, 10**9)),
            lag_bytes=draw(st.integers(0, 10**15)),
            latency_ms={"p50": draw(MAYBE), "p99": draw(MAYBE), "histogram": {}},
        ),
        peer=mirrors.peer(
            role,
            draw(MAYBE),
            name=draw(st.sampled_from(["n0", "n2", "n2-of-a-long-name" * 3, "漢字漢字漢字漢字"])),
            condition=role and draw(CONDITIONS),
            generation=role and draw(GENERATIONS),
            networks=draw(st.lists(network, max_size=4)),
        ),
        witness={"configured": draw(st.lists(TEXTS, max_size=2)), "answered_ms_ago": draw(MAYBE)},
        progress=draw(
            st.none()
            | st.builds(mirrors.progress, st.floats(0, 1), st.integers(0, 10**15), left_s=MAYBE, rate_bytes_s=NUMBERS)
        ),
        services=draw(st.lists(st.builds(service, TEXTS, st.sampled_from(["running", "failed"])), max_size=4)),
        checks=draw(st.lists(st.builds(check, TEXTS, st.just("tcp")), max_size=4)),
        events=draw(st.lists(st.builds(mirrors.event, st.floats(-1e6, 1e12), TEXTS, TEXTS), max_size=20)),
        clocks_apart_s=draw(st.floats(-1e9, 1e9)),
    )


POINTS = st.lists(st.builds(Point, st.just(0), NUMBERS, MAYBE), max_size=KEPT).map(tuple)


@settings(max_examples=80, deadline=None)
@given(
    any_status(),
    st.integers(1, 220),
    st.integers(1, 70),
    st.sampled_from(LOOKS),
    st.builds(Moment, st.just(NOW_S), TEXTS, st.booleans(), TEXTS, POINTS),
)
def test_a_frame_never_exceeds_its_size(
    found: dict[str, Any], width: int, height: int, look: Look, moment: Moment
) -> None:
    drawn = lines(render(found, width, height, look, moment), width, height)
    assert len(drawn) <= height
    assert max(cell_len(line) for line in drawn) <= width
    assert all(line.isprintable() for line in drawn)
    assert look.unicode or all(line.isascii() for line in drawn)
    if width >= WIDTH_MIN and height >= HEIGHT_MIN:
        assert any(" ".join(found["role"]) in line for line in drawn)
        assert len(drawn) == height or not moment.keys


def test_a_daemon_that_has_not_spoken_has_a_frame() -> None:
    drawn = lines(waiting("db", "mirrord is not running", 80, 24, Look(), Moment(NOW_S, next="web")), 80, 24)
    assert (drawn[0], drawn[1], drawn[-1]) == ("db", "mirrord is not running", "q quit   tab web")
    assert len(drawn) == 24


def test_both_nodes_draw_the_same_picture() -> None:
    frames = [lines(render(found, 80, 24, NO_COLOR, MOMENT), 80, 24) for found in (mirrors.status(), mirrors.second())]
    assert frames[0][5:8] == frames[1][5:8]
    assert "P R I M" in frames[0][6]


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (mirrors.status(), [(GOOD, "n1 serves, n2 is in sync")]),
        (mirrors.second(), [(GOOD, "n1 serves, n2 is in sync")]),
        (mirrors.alone(), [(BAD, "n2 is silent"), (WARN, "n1 serves alone")]),
        (mirrors.resyncing(), [(WARN, "n1 serves alone"), (WARN, "n2 is brought up to date")]),
        (starting(), [(BAD, "n2 is silent"), (WARN, "postgresql is starting"), (WARN, "n1 serves alone")]),
        (mirrors.status(peer=mirrors.peer("ALONE")), [(BAD, "both nodes serve")]),
        (mirrors.second(peer=mirrors.peer("WAIT", name="n1")), [(BAD, "no node serves")]),
        (stopped(), [(WARN, "n1 serves alone")]),
        (half_heard(), [(BAD, "n2 is silent at 10.99.0.2"), (WARN, "the witness does not answer"),
                        (WARN, "clocks are 3.2 s apart")]),
    ],
)  # fmt: skip
def test_the_gravest_sentence_comes_first(found: dict[str, Any], said: list[tuple[str, str]]) -> None:
    assert mirror_verdict.sentences(found) == said


def test_why_the_two_do_not_link_is_said_once() -> None:
    why = "node n2 speaks version 3 of the stream, this one 1"
    apart = mirrors.status(linked=False, in_sync=False, no_link=why)
    assert (BAD, f"not linked: {why}") in mirror_verdict.sentences(apart)
    waits = apart | {"role": "WAIT", "readiness": "not-ready", "reason": why}
    assert [text for _, text in mirror_verdict.sentences(waits) if why in text] == [why]


def test_what_is_wrong_while_all_else_goes_on_is_said() -> None:
    assert mirror_verdict.sentences(mirrors.status(reason="the disk is full")) == [(WARN, "the disk is full")]


def test_what_comes_again_and_again_is_one_line() -> None:
    events = [mirrors.event(ago, "1.1", "the stream has ended") for ago in range(1, 20)]
    found = transitions.table([*events, mirrors.event(20, "1.1", "ready"), events[0]], "generation", NOW_S, 5)
    assert [line.plain.split() for line in found[1:]] == [
        ["1", "s", "1.1", "19", "times:", "the", "stream", "has", "ended"],
        ["20", "s", "1.1", "ready"],
        ["1", "s", "1.1", "the", "stream", "has", "ended"],
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (999, "999 B"), (8192, "8.2 kB"), (52e6, "52.0 MB"), (7e9, "7.0 GB")]
)
def test_sizes(value: float, text: str) -> None:
    assert size(value) == text


# -- the history -------------------------------------------------------------------------------------------------------


def said(second: float, writes_s: float) -> dict[str, Any]:
    return mirrors.status(said_ns=round(second * NS), figures=mirrors.figures(writes_s))


def test_a_history_has_a_point_each_second_however_often_a_daemon_speaks() -> None:
    found: history.History = ()
    for second, writes_s in ((0, 1), (0.2, 2), (1.0, 3), (2.0, 4), (2.1, 5)):
        found = extended(found, said(second, writes_s))
    assert [point.writes_s for point in found] == [2, 3, 5]


def test_a_history_forgets() -> None:
    found: history.History = ()
    for second in range(KEPT + 7):
        found = extended(found, said(second, second))
    assert [point.writes_s for point in found] == list(range(7, KEPT + 7))


def test_a_farm_has_no_history() -> None:
    assert extended(HISTORY, {"farm": "web"}) == ()


def test_bars_are_relative_to_the_highest_and_end_at_the_right() -> None:
    assert bars([1, 50, 100], 5, unicode=True) == "  ▁▅█"
    assert bars([1, 50, 100], 2, unicode=False) == "+@"
    assert bars([0, 0], 3, unicode=True) == bars([], 3, unicode=True) == "   "
