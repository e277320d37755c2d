"""The last transitions of a node, with reasons: what `farmctl events` shows."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

KEPT = 500


class Events:
    """The newest transitions; older ones are in the log only."""

    def __init__(self, stamp: str) -> None:
        """stamp: what each is stamped with besides the time: "epoch" of a farm, "generation" of a mirror."""
        self._stamp = stamp
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def record(self, stamp: object, text: str) -> None:
        """Something has happened, just now (Unix time, in seconds)."""
        self._kept.append({"time": time.time(), self._stamp: str(stamp), "text": text})

    def newest(self, count: int) -> list[dict[str, Any]]:
        """The newest first, at most `count`, ready for JSON."""
        return [dict(transition) for transition in list(self._kept)[::-1][:count]]
