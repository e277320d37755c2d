"""Something that a thread or a signal can ring, and that select(2) hears."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from typing import Self


class Bell:
    """A pipe; while it is open every signal with a handler rings it, too (signal.set_wakeup_fd)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False

    def __enter__(self) -> Self:
        self._hear, self._ring = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before = signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)
        self._open = True
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._before)
        with self._lock:
            self._open = False
            os.close(self._hear)
            os.close(self._ring)

    def ring(self) -> None:
        """From any thread; without effect once it is closed."""
        with self._lock, contextlib.suppress(BlockingIOError):  # it rings already
            if self._open:
                os.write(self._ring, b"\0")

    def quiet(self) -> None:
        """Nothing that has rung until now is heard any more."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._hear, 4096):
                pass

    def wait(self, timeout_s: float) -> None:
        """Until it rings, no longer than told."""
        select.select([self], [], [], timeout_s)

    def fileno(self) -> int:
        return self._hear
