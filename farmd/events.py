"""The last transitions of a node, with reasons: what `farmctl events` shows."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from farmd.core.view import Epoch

KEPT = 500


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of the log, as a value."""

    time: float
    """Unix time, in seconds."""
    epoch: str
    text: str


class Events:
    """The newest transitions; older ones are in the log only."""

    def __init__(self) -> None:
        self._kept: deque[Transition] = deque(maxlen=KEPT)

    def record(self, epoch: Epoch, text: str) -> None:
        """Something has happened, just now."""
        self._kept.append(Transition(time.time(), str(epoch), text))

    def newest(self, count: int) -> list[dict[str, Any]]:
        """The newest first, at most `count`, ready for JSON."""
        newest = list(self._kept)[::-1][:count]
        return [asdict(transition) for transition in newest]
