"""One check as its results come in."""

from __future__ import annotations

from typing import Literal

from farmd.core.dampen import UNTRIED, dampen
from farmd.core.duties import CheckDuty
from farmd.core.supervision_events import Probed


class Watched:
    """What is known of one check."""

    def __init__(self, duty: CheckDuty, now_ns: int) -> None:
        self.duty = duty
        self.verdict = UNTRIED
        self.since_ns = now_ns
        self.heard_ns = now_ns
        """When its newest result came."""
        self.common_ns = now_ns
        """When last every node was known to fail it."""
        self.text = ""
        """What its newest result says."""
        self.took_ms = 0.0

    @property
    def name(self) -> str:
        return self.duty.name

    @property
    def known(self) -> bool:
        return self.verdict.passing is not None

    @property
    def passing(self) -> bool:
        return self.verdict.passing is True

    @property
    def failing(self) -> bool:
        return self.verdict.passing is False

    @property
    def state(self) -> Literal["unknown", "passing", "failing"]:
        """In a word, for people."""
        return "passing" if self.passing else "failing" if self.failing else "unknown"

    def take(self, now_ns: int, result: Probed, *, dampened: bool) -> bool:
        """Takes a result, and tells whether it turned the verdict; not dampened, the verdict is that of the result."""
        self.heard_ns, self.text, self.took_ms = now_ns, result.text, result.took_ms
        before = self.verdict if dampened else UNTRIED
        verdict = dampen(before, result.passed, rise=self.duty.rise, fall=self.duty.fall)
        turned = verdict.passing != self.verdict.passing
        self.verdict = verdict
        if turned:
            self.since_ns = now_ns
        return turned

    def forget(self, now_ns: int) -> None:
        """What was known no longer counts: its service is a new one."""
        self.verdict, self.since_ns, self.heard_ns = UNTRIED, now_ns, now_ns

    def doubtful(self, now_ns: int) -> bool:
        """Whether its last result is too old to be relied upon."""
        return now_ns - self.heard_ns >= self.duty.doubt_ns

    def own_fault_ns(self) -> int:
        """From when on a failure that the other nodes do not share counts as this node's own: they have had the time
        to find the same, or, if they found it before, this one has had the time to find it repaired."""
        return max(self.since_ns, self.common_ns) + self.duty.round_ns if self.duty.serve_on else self.since_ns
