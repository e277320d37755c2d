"""The loop of the volume: one thread that answers applications, feeds the stream and obeys the daemon."""

from __future__ import annotations

import heapq
import itertools
import os
import select
import time
from collections import deque
from collections.abc import Callable

SPIN_NS = 100_000
"""After the last activity poll(2) is asked again and again for so long before the loop sleeps in it. The wake-up of an
idle processor costs 28 us in a virtual machine, and the next request or acknowledgement is mostly nearer than that:
with it one writer of 4 KiB does 33,000 replicated writes a second, both nodes on two processors, and 12,700 without."""

WORK_NS = 500_000
"""What background work may take in one turn: a live write waits no longer for it than this and the rest of a turn."""

WORK_INTERVAL_NS = 2_000_000
"""While applications keep the loop busy, background work gets its turn so often: a quarter of the time."""

NS = 1_000_000_000

Handler = Callable[[], None]
Work = Callable[[int], bool]
"""Takes the nanoseconds that it may take; says whether there is more to do at once."""


class Loop:
    """Descriptors that can be read, times that have come, calls from other threads; and work when there is time."""

    def __init__(self) -> None:
        self.work: Work = lambda _: False
        """Background work, a turn at a time."""
        self.turn = 0
        """How often it has looked for what is ready."""
        self._poll = select.poll()
        self._readers: dict[int, Handler] = {}
        self._writers: dict[int, Handler] = {}
        self._asleep_fds: set[int] = set()
        """Registered, but not looked at now: see `pause`."""
        self._timers: list[tuple[int, int, Handler]] = []
        self._numbers = itertools.count()
        self._posted: deque[Handler] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ended = False
        self.watch(self._bell, self._run_posted)

    def watch(self, fd: int, handler: Handler) -> None:
        """Calls the handler whenever the descriptor can be read or has failed."""
        self._readers[fd] = handler
        self._register(fd)

    def watch_room(self, fd: int, handler: Handler | None) -> None:
        """Calls the handler whenever a watched descriptor can be written; None: no more."""
        if handler is None:
            self._writers.pop(fd, None)
        else:
            self._writers[fd] = handler
        if fd in self._readers:
            self._register(fd)

    def pause(self, fd: int, *, paused: bool) -> None:
        """Whether a watched descriptor is not read for a while, so that its source has to wait."""
        (self._asleep_fds.add if paused else self._asleep_fds.discard)(fd)
        self._register(fd)

    def unwatch(self, fd: int) -> None:
        """Before the descriptor is closed."""
        self._readers.pop(fd, None)
        self._writers.pop(fd, None)
        self._asleep_fds.discard(fd)
        self._poll.unregister(fd)

    def after(self, delay_s: float, handler: Handler) -> None:
        """Calls the handler once, so much later."""
        heapq.heappush(self._timers, (time.monotonic_ns() + int(delay_s * NS), next(self._numbers), handler))

    def every(self, interval_s: float, handler: Handler) -> None:
        """Calls the handler again and again."""

        def again() -> None:
            self.after(interval_s, again)
            handler()

        self.after(interval_s, again)

    def post(self, handler: Handler) -> None:
        """Calls the handler in the loop's thread, soon; may be called from any thread."""
        self._posted.append(handler)
        os.eventfd_write(self._bell, 1)

    def end(self) -> None:
        """`run` returns after this turn."""
        self._ended = True

    def run(self) -> None:
        """Until `end`; and again, if it is called again."""
        self._ended = False
        now = time.monotonic_ns()
        spin_until, work_due, more = now, now, False
        while not self._ended:
            ready = self._poll.poll(self._patience_ms(now, spin_until, more))
            now = time.monotonic_ns()
            self.turn += 1
            if ready:
                spin_until = now + SPIN_NS
                self._serve(ready)
            else:
                os.sched_yield()  # who is waited for may need this very processor
            if self._timers and self._timers[0][0] <= now:
                self._run_timers(now)
            if not ready or now >= work_due:
                more = self.work(WORK_NS)
                work_due = now + WORK_INTERVAL_NS

    def _serve(self, ready: list[tuple[int, int]]) -> None:
        for fd, events in ready:
            if events & select.POLLOUT and fd in self._writers:
                self._writers[fd]()
            if events & ~select.POLLOUT and fd in self._readers:
                self._readers[fd]()

    def _patience_ms(self, now: int, spin_until: int, more: bool) -> int | None:
        if more or now < spin_until or self._posted:
            return 0
        if not self._timers:
            return None
        return max(0, (self._timers[0][0] - now + 999_999) // 1_000_000)

    def _run_timers(self, now: int) -> None:
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _run_posted(self) -> None:
        os.eventfd_read(self._bell)
        while self._posted:
            self._posted.popleft()()

    def _register(self, fd: int) -> None:
        reading = 0 if fd in self._asleep_fds else select.POLLIN
        self._poll.register(fd, reading | (select.POLLOUT if fd in self._writers else 0))
