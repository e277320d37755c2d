"""Rise and fall, against their definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from farmd.core.dampen import UNTRIED, dampen

LIMITS = st.integers(1, 5)


@given(st.lists(st.booleans(), min_size=1), LIMITS, LIMITS)
def test_a_verdict_turns_exactly_after_enough_tries_in_a_row(tries: list[bool], rise: int, fall: int) -> None:
    verdict = UNTRIED
    for number, passed in enumerate(tries):
        before = verdict.passing
        verdict = dampen(verdict, passed, rise=rise, fall=fall)
        assert verdict.passing is not None
        if before is None:
            assert verdict.passing == passed
            continue
        needed = fall if before else rise
        row = tries[max(0, number + 1 - needed) : number + 1]
        enough = len(row) == needed and all(one != before for one in row)
        assert (verdict.passing != before) == enough
