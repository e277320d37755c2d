"""The stream over a link: records out, records in, each end's loop never waiting for the other.

What is sent is gathered, and leaves with `flush` in one system call, from the buffers it lies in. What the kernel does
not take at once is copied and follows as the peer makes room; its amount is what `full` judges, so a slow or frozen
peer costs a bounded amount of memory and in the end slows down whoever feeds the stream.
"""

from __future__ import annotations

import mmap
import struct
import time
from collections import deque
from collections.abc import Callable

from mirrord.volume.link.channel import Buffer, Channel
from mirrord.volume.link.records import HEADER, PAYLOAD_BYTES_MAX
from mirrord.volume.loop import Loop

UNSENT_BYTES_MAX = 4 << 20
"""With more than this on its way, applications' requests are not taken any more."""

RECEIVE_BYTES = 4 << 20

TURN_NS = 100_000_000
"""After records that took so long together, the loop looks after others before the next one."""

PARTING_S = 2.0
"""For a peer to end a link that is of no use any more."""

_BUFFERS_MAX = 512
"""Of one sendmsg(2); the kernel's limit is 1,024 (UIO_MAXIOV)."""

assert PAYLOAD_BYTES_MAX + HEADER.size <= RECEIVE_BYTES

Take = Callable[[int, int, int, int, int, int, memoryview], None]
"""Takes kind, tree, flags, seq, node id, offset and payload; the payload is gone when it returns. May raise
StreamError."""


CANNOT = (OSError, LookupError, ValueError, struct.error)
"""What carrying out a record may raise, if the disk refuses or the record makes no sense here."""


class StreamError(Exception):
    """What the peer sent is no record, or one of its records could not be dealt with; one sentence. The link ends."""


class Stream:
    """One greeted link."""

    def __init__(
        self,
        channel: Channel,
        loop: Loop,
        *,
        take: Take,
        taken: Callable[[], None],
        room: Callable[[], None],
        broken: Callable[[str], None],
    ) -> None:
        """take: called for every record; taken: after each batch of them; room: when it is full no more; broken: once,
        with the reason, when the link has ended by itself."""
        self.sent_bytes = 0
        self._channel = channel
        self._loop = loop
        self._take = take
        self._taken = taken
        self._room = room
        self._broken = broken
        self._gathered: list[Buffer] = []
        self._gathered_bytes = 0
        self._unsent: deque[memoryview] = deque()
        self.unsent_bytes = 0
        self._received = memoryview(mmap.mmap(-1, RECEIVE_BYTES))  # memory only as far as it is used
        self._have = 0
        self._closed = self._paused = False
        self._silence_s = 0.0
        self.parting = ""
        """Why this end takes nothing any more, and waits for the other one to close."""
        self._fd = channel.fileno()
        loop.watch(self._fd, self._receive)

    @property
    def full(self) -> bool:
        """Whether whoever can wait should."""
        return self.unsent_bytes > UNSENT_BYTES_MAX

    def gather(self, header: bytes, payload: Buffer) -> None:
        """A record that is to leave with the next `flush`. The payload must stay as it is until then."""
        self._gathered.append(header)
        self._gathered_bytes += HEADER.size + len(payload)
        if payload:
            self._gathered.append(payload)

    def flush(self) -> None:
        """Sends what was gathered, as far as it goes."""
        gathered = self._gathered
        if not gathered:
            return
        total, self._gathered, self._gathered_bytes = self._gathered_bytes, [], 0
        if self._closed:
            return
        at_once = not self._unsent and len(gathered) <= _BUFFERS_MAX
        sent = self._send(gathered) if at_once else 0
        if sent < total and not self._closed:
            self._keep(gathered, sent)

    def pause(self, *, paused: bool) -> None:
        """Whether nothing is taken for a while, while what the last record wants is done by somebody else."""
        self._paused = paused
        if not self._closed:
            self._loop.pause(self._fd, paused=paused)
            if not paused and self._take_received():
                self._receive_more()

    def look(self, interval_s: float, silent_after_s: float) -> None:
        """Called at this interval: ends the link when its network has answered nothing for so long."""
        self._silence_s = self._silence_s + interval_s if self._channel.owed(interval_s) else 0.0
        if self._silence_s >= silent_after_s:
            self._break("the network that it uses is silent")

    def close(self) -> None:
        """Ends the link; `broken` is not called."""
        if not self._closed:
            self._closed = True
            self._loop.unwatch(self._fd)
            self._channel.close()
            self._unsent.clear()
            self.unsent_bytes = 0

    def part(self, reason: str) -> None:
        """Takes nothing any more, and ends the link for this reason when the peer has, which was told why: closing it
        before would make the kernel throw away what the peer has not read yet (RFC 2525, 2.17)."""
        if not self.parting:
            self.parting = reason
            self._loop.after(PARTING_S, lambda: self._break(reason))

    def _send(self, buffers: list[Buffer]) -> int:
        """How many bytes were taken: none, if there is no room now or the link has failed."""
        try:
            sent = self._channel.send(buffers)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._break(f"the link has failed ({error.strerror})")
            return 0
        self.sent_bytes += sent
        return sent

    def _keep(self, gathered: list[Buffer], sent: int) -> None:
        rest = memoryview(b"".join(gathered))[sent:]  # the buffers are used again before this leaves
        if not self._unsent:
            self._loop.watch_room(self._fd, self._send_more)
        self._unsent.append(rest)
        self.unsent_bytes += len(rest)

    def _send_more(self) -> None:
        was_full = self.full
        self._send_unsent()
        if was_full and not self.full:
            self._room()

    def _send_unsent(self) -> None:
        while self._unsent:
            buffers: list[Buffer] = [self._unsent[index] for index in range(min(len(self._unsent), _BUFFERS_MAX))]
            sent = self._send(buffers)
            if not sent:
                return
            self.unsent_bytes -= sent
            while sent:
                size = len(self._unsent[0])
                if sent < size:
                    self._unsent[0] = self._unsent[0][sent:]
                    break
                self._unsent.popleft()
                sent -= size
        self._loop.watch_room(self._fd, None)

    def _receive(self) -> None:
        if self._paused:  # it is not asked for, so this is no record
            self._break("the link has failed")
        elif self._receive_batch():
            self._receive_more()

    def _receive_more(self) -> None:
        while not self._paused and self._channel.more() and self._receive_batch():
            pass

    def _receive_batch(self) -> bool:
        """Whether the link is still there."""
        try:
            count = self._channel.receive(self._received[self._have :] if self._have else self._received)
        except BlockingIOError:
            return True
        except OSError as error:
            self._break(f"the link has failed ({error.strerror})")
            return False
        if not count:
            self._break(self.parting or "the peer has ended the link")
            return False
        if self.parting:
            return True
        self._have += count
        return self._take_received()

    def _take_received(self) -> bool:
        """Whether the link is still there."""
        try:
            self._take_whole_ones()
            self._taken()
        except StreamError as error:
            self.part(str(error))
        return not self._closed

    def _take_whole_ones(self) -> None:
        received, have, position, header_bytes = self._received, self._have, 0, HEADER.size
        end_ns = time.monotonic_ns() + TURN_NS
        while have - position >= header_bytes and not (self._closed or self.parting or self._paused):
            size, kind, tree, flags, seq, node, offset = HEADER.unpack_from(received, position)
            if size > PAYLOAD_BYTES_MAX:
                raise StreamError(f"the peer's record of {size} bytes is longer than any of ours")
            end = position + header_bytes + size
            if end > have:
                break
            self._take(kind, tree, flags, seq, node, offset, received[position + header_bytes : end])
            position = end
            if time.monotonic_ns() > end_ns and not self._paused:
                self.pause(paused=True)
                self._loop.after(0, lambda: self.pause(paused=False))
        if 0 < position < have:
            received[: have - position] = received[position:have]
        self._have = have - position

    def _break(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._broken(reason)


def said(error: Exception) -> str:
    """Why a record could not be carried out."""
    return str(getattr(error, "strerror", None) or error)
