"""What one client saw: who answered it, and its longest outage. Pure; times are seconds of any one clock."""

from collections import Counter
from dataclasses import dataclass, field

FAILURES_MAX = 1000
"""Failures remembered one by one, per client; all are counted."""


@dataclass(slots=True)
class Experience:
    """One client's tries, in order.

    An outage lasts from the end of the last success before a failure to the end of the next success. A client that
    never succeeded before has been out since its first try began; one that fails to the last is out until then.
    """

    nodes: Counter[str] = field(default_factory=Counter)
    """Successes by the node that answered."""
    failed: int = 0
    failures: list[tuple[float, float, str]] = field(default_factory=list)
    """Start, end and error of the failed tries, up to FAILURES_MAX."""
    outage: tuple[float, float] = (0.0, 0.0)
    """The longest one so far, an unfinished one included: from, until."""
    _since: float | None = None
    _out: bool = False

    @property
    def requests(self) -> int:
        return self.nodes.total() + self.failed

    @property
    def outage_s(self) -> float:
        return self.outage[1] - self.outage[0]

    def success(self, start: float, end: float, node: str) -> None:
        """A whole answer came from `node`."""
        self.nodes[node] += 1
        if self._out:
            self._extend_outage(start, end)
        self._since, self._out = end, False

    def failure(self, start: float, end: float, error: str) -> None:
        """No answer, or not a whole one."""
        self.failed += 1
        self._out = True
        self._extend_outage(start, end)
        if len(self.failures) < FAILURES_MAX:
            self.failures.append((start, end, error))

    def _extend_outage(self, start: float, end: float) -> None:
        if self._since is None:
            self._since = start
        if end - self._since > self.outage_s:
            self.outage = (self._since, end)
