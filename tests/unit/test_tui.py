"""The terminal view's parts, and what holds for every frame whatever the daemon says."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.text import Text

from farmd.core.buckets import State
from farmd.core.view import BUCKETS
from farmd.tui import buckets, picture, verdict
from farmd.tui.frame import HEIGHT_MIN, WIDTH_MIN, Moment, render
from farmd.tui.look import HUES, LETTERS, Colours, Look
from farmd.tui.numbers import age, milliseconds, rate
from tests.unit import statuses
from tests.unit.statuses import NOW_S, member, status

LOOKS = [Look(colours, unicode) for colours in Colours for unicode in (True, False)]


def lines(page: Text, width: int, height: int) -> list[str]:
    """What arrives on a terminal of that size."""
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(page, end="")
    return capture.get().split("\n")


# -- every frame -------------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=60)
NUMBERS = st.floats(0, 1e12)
STATUSES = ("up", "joining", "draining", "leaving", "failed", "silent", "left")


@st.composite
def members(draw: Callable[..., Any]) -> list[dict[str, Any]]:
    traffic = st.none() | st.builds(statuses.traffic, NUMBERS, NUMBERS, NUMBERS)
    return [
        member(
            number,
            name=f"n{number}" + draw(st.sampled_from(["", "-of-a-long-name", "-漢字漢字漢字漢字"])),
            status=draw(st.sampled_from(STATUSES)),
            weight=draw(st.integers(0, 1000)),
            ready=draw(st.booleans()),
            deaf=draw(st.booleans()),
            failing=draw(st.lists(TEXTS, max_size=3)),
            round_trip_ms=draw(st.none() | NUMBERS),
            traffic=draw(traffic),
        )
        for number in range(1, draw(st.integers(1, len(LETTERS))) + 1)
    ]


@st.composite
def any_status(draw: Callable[..., Any]) -> dict[str, Any]:
    nodes = draw(members())
    random = Random(draw(st.integers(0, 1000)))
    names = [*(one["name"] for one in nodes), None]
    event = st.builds(statuses.event, st.floats(-1e6, 1e12), TEXTS, TEXTS)
    return status(
        members=nodes,
        node=nodes[0]["name"],
        vips=draw(st.lists(TEXTS, min_size=1, max_size=8)),
        epoch=draw(st.sampled_from(["0.0", "7.1", "18446744073709551615.255"])),
        converged=draw(st.booleans()),
        lease=draw(st.sampled_from(["held", "fenced"])),
        moving=draw(st.integers(0, BUCKETS)),
        ready=draw(st.booleans()),
        reason=draw(TEXTS),
        drain_announced=draw(st.booleans()),
        stopped=draw(st.booleans()),
        services=draw(st.lists(st.builds(statuses.service, TEXTS, st.sampled_from(["running", "failed"])), max_size=4)),
        checks=draw(st.lists(st.builds(statuses.check, TEXTS, st.just("tcp")), max_size=4)),
        events=draw(st.lists(event, max_size=20)),
        takeovers={"count": draw(st.integers(0, 10**6)), "last_ms": draw(st.none() | NUMBERS), "sum_ms": 0.0},
        buckets={
            "owners": random.choices(names, k=BUCKETS),
            "states": random.choices([state.name.lower() for state in State], k=BUCKETS),
            "packets": [0] * BUCKETS,
            "contested": random.sample(range(BUCKETS), draw(st.integers(0, BUCKETS))),
        },
    )


@settings(max_examples=60, deadline=None)
@given(
    any_status(),
    st.integers(1, 220),
    st.integers(1, 70),
    st.sampled_from(LOOKS),
    st.builds(Moment, st.just(NOW_S), TEXTS, st.booleans()),
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
        assert any("node" in line and "checks" in line for line in drawn)
        assert len(drawn) == height or not moment.keys


# -- owners ------------------------------------------------------------------------------------------------------------


def test_every_owner_has_a_letter_and_a_colour_of_its_own() -> None:
    assert len(set(LETTERS)) == len(LETTERS) == 32
    assert len({Look().colour(owner).name for owner in range(len(LETTERS))}) == len(LETTERS)


def test_terminals_of_256_colours_tell_as_many_owners_apart_as_said() -> None:
    colours = {Look().colour(owner).downgrade(ColorSystem.EIGHT_BIT).number for owner in range(Colours.MANY)}
    assert len(colours) == Colours.MANY


def test_neighbouring_owners_differ_in_hue() -> None:
    assert [Look().colour(owner) for owner in range(len(HUES))] == [Color.parse(hue) for hue in HUES]


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (200, 60)])
def test_an_owner_keeps_its_colour_at_every_size(size: tuple[int, int]) -> None:
    page = render(status(), *size, Look(), Moment(NOW_S))
    seen = {str(span.style) for span in page.spans}
    for owner in range(3):
        name = Look().colour(owner).name
        assert any(f"on {name}" in style for style in seen)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("nodes", [1, 3, 7, 8, 9, 32])
def test_every_map_shows_every_bucket_once(nodes: int, look: Look) -> None:
    cells = buckets.cells(status(nodes))
    for shape in buckets.shapes(nodes, look):
        drawn = buckets.draw(cells, shape, nodes, look)
        assert len(drawn) == shape.rows
        assert sum(line.cell_len for line in drawn) * (1 + shape.half) == BUCKETS * shape.cell


@pytest.mark.parametrize("nodes", [3, 32])
def test_without_colours_the_map_has_the_owners_letters(nodes: int) -> None:
    cells = buckets.cells(status(nodes))
    drawn = "".join(line.plain for line in buckets.draw(cells, buckets.DENSE, nodes, Look(Colours.NONE)))
    assert drawn == "".join(LETTERS[owner] for owner, _ in cells if owner is not None)


def test_the_gravest_mark_of_two_halves_is_shown() -> None:
    cells: list[buckets.Cell] = [(0, "")] * BUCKETS
    cells[0], cells[64] = (0, "-"), (1, "!")
    first = buckets.draw(cells, buckets.SMALL, 2, Look())[0]
    assert first.plain[:2] == "!▀"
    assert Look().colour(1).name in str(first.spans[0].style)


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.4, "0"), (999.4, "999"), (999.6, "1.0k"), (12345, "12.3k"), (99940, "99.9k"), (99960, "100k"),
     (4.5e6, "4.5M"), (7e9, "7.0G"), (1e12, "1000G")],
)  # fmt: skip
def test_rates(value: float, text: str) -> None:
    assert rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.00"), (0.316, "0.32"), (9.996, "10.0"), (99.96, "100"), (412.3, "412"), (1e9, "999999")]
)
def test_milliseconds(value: float, text: str) -> None:
    assert milliseconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172800, "2 d")]
)
def test_ages(value: float, text: str) -> None:
    assert age(value) == text


def test_the_gravest_sentence_comes_first() -> None:
    found = status(members=[member(1), member(2, status="joining"), member(3, deaf=True)], converged=False)
    assert [words for _, words in verdict.sentences(found)] == ["n3 deaf to us", "n2 joining", "converging"]


def test_many_nodes_are_not_named() -> None:
    found = status(members=[member(1), *(member(number, status="silent") for number in range(2, 9))])
    assert verdict.sentences(found) == [(verdict.BAD, "7 nodes silent")]


def test_a_node_that_left_is_no_trouble() -> None:
    found = status(members=[member(1), member(2, status="left")])
    assert verdict.sentences(found) == [(verdict.GOOD, "1 of 2 nodes are up")]


# -- the picture, and what is imported ---------------------------------------------------------------------------------


def test_a_picture_fetches_nothing() -> None:
    drawn = picture.svg(render(status(), 100, 44, Look(), Moment(NOW_S, keys=False)), 100, "top")
    assert "http" not in drawn.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "@font-face" not in drawn
    assert Look().colour(2).name in drawn


def test_farmctl_starts_without_the_view() -> None:
    program = "import sys, farmd.cli; sys.exit(any(name in sys.modules for name in ('rich', 'curses', 'asyncio')))"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
