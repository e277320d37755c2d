"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable

from lab.errors import LabError


def until(condition: Callable[[], bool], what: str, timeout_s: float = 5.0, interval_s: float = 0.01) -> None:
    """Return as soon as the condition holds; LabError, with `what` was waited for, after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(interval_s)
