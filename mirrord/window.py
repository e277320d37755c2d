"""A time of day in which something may happen by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes of the day, from `begin` to just before `end`; over midnight if `end` is the smaller."""

    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Window:
        """From "HH:MM-HH:MM"; ValueError, with a sentence, if it is not of this form."""
        parts = _FORM.fullmatch(text)
        if parts is None:
            raise ValueError(f"must have the form HH:MM-HH:MM, such as 01:00-05:30, not {text!r}")
        hours_and_minutes = [int(part) for part in parts.groups()]
        begin, end = (60 * hours_and_minutes[i] + hours_and_minutes[i + 1] for i in (0, 2))
        if begin == end:
            raise ValueError(f"must not begin and end at the same minute, as {text!r} does")
        return cls(begin, end)

    def holds(self, minute: int) -> bool:
        """Whether this minute of the day is in it."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end
