"""The log: standard error, one line per record, with a time stamp unless the journal adds its own."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TextIO

LEVELS = ("debug", "info", "warning", "error")
"""What `start` accepts, from the most to the least talkative."""


class LineFormatter(logging.Formatter):
    """One line per record, tracebacks included, so that a line-based tool never sees half of one."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "\\r").replace("\n", "\\n")


def start(level: str, stream: TextIO | None = None) -> None:
    """Send every record of at least this level to standard error, or to `stream`; earlier set-ups are replaced."""
    assert level in LEVELS, f"a level is one of {', '.join(LEVELS)}"
    stream = stream or sys.stderr
    stamp = "" if _is_journal(stream) else "%(asctime)s "
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(f"{stamp}%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _is_journal(stream: TextIO) -> bool:
    """Whether the stream is the one that $JOURNAL_STREAM names by device and inode (systemd.exec(5)).

    The variable alone is no proof: children inherit it also where their output goes to a file.
    """
    journal = os.environ.get("JOURNAL_STREAM")
    if not journal:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return journal == f"{status.st_dev}:{status.st_ino}"
