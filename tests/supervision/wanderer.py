"""A daemon that does all it can to get away: it forks twice, leaves its session, and takes another name.

`python wanderer.py [deaf]`: a deaf one takes no notice of SIGTERM.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_NAME = 15


def main() -> None:
    """Goes to the background."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    name = b"somebody else"
    if "deaf" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        name = b"nobody"
    ctypes.CDLL(None).prctl(PR_SET_NAME, name, 0, 0, 0)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
