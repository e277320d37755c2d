"""The volume: the process that touches the files of a mirror, on behalf of a mirrord.

It has one loop, without asyncio. When its parent dies it fences itself: nothing is acknowledged any more, and the
mounts are withdrawn. When it dies itself, its mounts answer ENOTCONN and the link ends.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import socket
import sys

from farmd.errors import FarmError
from farmd.kit import log as logs
from mirrord import orders
from mirrord.orders import Open, Refused
from mirrord.volume.files import syscalls
from mirrord.volume.loop import Loop
from mirrord.volume.parent import Parent
from mirrord.volume.volume import Volume

log = logging.getLogger(__name__)

LARGE_BYTES = 2 << 20
"""More than any message; tables of nodes and zones grow beyond it."""

NICE = -10
"""Every write of an application waits for this process (nice(2)). Not real-time priority: the application that a loop
waits for while it looks again and again (loop.py) could not run then where there are few processors."""


def _run(line: socket.socket) -> None:
    text, _, rest = _first_line(line).partition(b"\n")
    if not text:
        return  # the parent has gone before it said anything
    order, number = orders.decode(text)
    assert isinstance(order, Open), "the first order is Open"
    loop = Loop()
    try:
        volume = Volume(order, loop)
    except FarmError as error:
        line.sendall(orders.encode(Refused(str(error)), number))
        return
    volume.serve(Parent(line, loop, volume.obey, volume.orphaned, rest))
    gc.freeze()  # what is here now stays
    loop.run()


def _first_line(line: socket.socket) -> bytes:
    """Up to the first end of a line, and whatever came with it."""
    received = b""
    while b"\n" not in received:
        some = line.recv(orders.LINE_BYTES_MAX)
        if not some:
            return b""
        received += some
    return received


def _be_ordinary() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # They are mirrord's to answer, also where all of a unit's processes get them: it needs this process to stop.
        signal.signal(number, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    syscalls.give_back(LARGE_BYTES)
    os.umask(0)  # what applications make has the mode they ask for
    syscalls.keep_capabilities()  # it is made in their name, but not with their rights


def _take_precedence() -> None:
    """Of this thread, and those that it starts."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    except PermissionError as error:
        log.warning("no precedence over other processes (%s): a loaded machine slows down every write", error.strerror)


def main() -> None:
    """The program, which only mirrord starts."""
    descriptor = int(sys.argv[-1])  # after --fd
    os.set_inheritable(descriptor, False)
    _be_ordinary()
    logs.start("info")
    _take_precedence()
    _run(socket.socket(fileno=descriptor))
    logging.shutdown()
    os._exit(0)  # not waiting for a thread that a dead disk may hold
