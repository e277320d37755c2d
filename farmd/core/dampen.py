"""When a check that is tried again and again counts as failing: not at the first slip, and passing not at the first
success after that."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tries so far amount to."""

    passing: bool | None = None
    """None: never tried."""
    against: int = 0
    """How many of the last tries in a row said the opposite."""


UNTRIED = Verdict()


def dampen(before: Verdict, passed: bool, *, rise: int, fall: int) -> Verdict:
    """The verdict after one more try: `rise` passes in a row turn a failing check, `fall` failures a passing one; what
    was never tried follows its first try."""
    assert rise >= 1
    assert fall >= 1
    if before.passing is None or passed == before.passing:
        return Verdict(passed)
    needed = rise if passed else fall
    against = before.against + 1
    return Verdict(passed) if against >= needed else Verdict(before.passing, against)
