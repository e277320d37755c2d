"""Tell the service manager how we are: sd_notify(3), the protocol of $NOTIFY_SOCKET.

Nobody may be listening, and the daemon's work never depends on it: without the variable, or when the socket does not
take the message at once, nothing happens.
"""

from __future__ import annotations

import contextlib
import os
import socket


def ready() -> None:
    """Start-up is complete, and signs of life are due as the unit says, whatever `starting_anew` asked for."""
    usual = os.environ.get("WATCHDOG_USEC")
    _send(f"READY=1\nWATCHDOG_USEC={usual}" if usual else "READY=1")


def starting_anew(within_s: float) -> None:
    """This program gives way to another one in the same process, and so long no sign of life is due."""
    _send(f"WATCHDOG_USEC={round(within_s * 1e6)}")


def stopping(within_s: float) -> None:
    """A planned stop has begun, and may take so long, also where that is longer than TimeoutStopSec= of the unit."""
    _send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={round(within_s * 1e6)}")


def status(sentence: str) -> None:
    """What `systemctl status` shows about us."""
    # A message holds one assignment a line, so a line break would start another.
    _send("STATUS=" + " ".join(sentence.splitlines()))


def watchdog() -> None:
    """We are alive; due more often than WatchdogSec= of the unit."""
    _send("WATCHDOG=1")


def _send(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # an abstract socket; the kernel marks it with a zero byte (unix(7))
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode(), socket.MSG_DONTWAIT, address)
