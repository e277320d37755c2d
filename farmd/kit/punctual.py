"""Real-time priority for a daemon's loop, as corosync and keepalived have it: load on the machine must not fence it."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
from collections.abc import Iterator

log = logging.getLogger(__name__)

REALTIME_PRIORITY = 50


@contextlib.contextmanager
def punctual() -> Iterator[None]:
    """Only while serving; starting and cleaning up may take their time, and must not take anybody else's. Children have
    an ordinary priority.
    """
    gc.collect()
    gc.freeze()  # what start-up made stays; collections look only at the little that comes after
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(REALTIME_PRIORITY))
    except OSError as error:
        log.warning("no real-time priority (%s): a loaded machine may be fenced", error.strerror)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
