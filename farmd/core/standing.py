"""Whether this node may own buckets, in its own words: its health, its orders, and whether it leaves."""

from __future__ import annotations


class Standing:
    """What one node has been told about itself. `drain_ahead_ns` is how long a drain is announced before it begins."""

    def __init__(self, drain_ahead_ns: int, *, ready: bool) -> None:
        self.ready = ready
        """Its supervision lets it own buckets."""
        self.failing: tuple[str, ...] = ()
        """The names of its failing checks, in order."""
        self.leave_deadline_ns: int | None = None
        """Until when it waits for flows to end; None: it stays."""
        self.drains_at_ns: int | None = None
        """When it gives its buckets away, by order or to leave; None: it keeps them."""
        self._drain_ahead_ns = drain_ahead_ns

    @property
    def leaving(self) -> bool:
        return self.leave_deadline_ns is not None

    @property
    def drain_announced(self) -> bool:
        """Whether it was told to give its buckets away, now or soon."""
        return self.drains_at_ns is not None

    def notice(self, now_ns: int, *, drained: bool, serves: bool) -> None:
        """Takes note of what is ordered. Who does not serve has nothing to announce, and who must be gone by now no
        time for it."""
        if not drained and not self.leaving:
            self.drains_at_ns = None
            return
        late = self.leave_deadline_ns is not None and self.leave_deadline_ns <= now_ns
        at_ns = now_ns + self._drain_ahead_ns if serves and not late else now_ns
        self.drains_at_ns = at_ns if self.drains_at_ns is None else min(at_ns, self.drains_at_ns)

    def draining(self, now_ns: int) -> bool:
        """Whether it gives all its buckets away and takes none."""
        return not self.ready or (self.drains_at_ns is not None and self.drains_at_ns <= now_ns)
