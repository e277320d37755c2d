"""Rise and fall: how many tries in a row it takes to turn a verdict."""

from __future__ import annotations

import pytest

from farmd.core.dampen import UNTRIED, dampen


def after(tries: str, *, rise: int = 2, fall: int = 3) -> str:
    """The verdicts after each try; p and f are passes and failures, going in and coming out."""
    verdict, seen = UNTRIED, ""
    for one in tries:
        verdict = dampen(verdict, one == "p", rise=rise, fall=fall)
        seen += "p" if verdict.passing else "f"
    return seen


@pytest.mark.parametrize(
    ("tries", "verdicts"),
    [
        ("p", "p"),
        ("f", "f"),
        ("pff", "ppp"),
        ("pfff", "pppf"),
        ("pffpff", "pppppp"),
        ("pfffp", "pppff"),
        ("pfffpp", "pppffp"),
        ("pfffpfp", "pppffff"),
        ("fpp", "ffp"),
    ],
)
def test_two_to_rise_and_three_to_fall(tries: str, verdicts: str) -> None:
    assert after(tries) == verdicts


def test_one_and_one_follow_every_try() -> None:
    assert after("pfpffp", rise=1, fall=1) == "pfpffp"


def test_what_was_never_tried_is_neither() -> None:
    assert UNTRIED.passing is None
