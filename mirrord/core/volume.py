"""What the core knows of its volume: what it was told, what it has said.

What an order makes possible counts from when it is given; what it ends counts from when it is done. So a mount is there
from Serve on until Withdraw is done, and a report about a link that was to be ended is not heeded.
"""

from __future__ import annotations

from collections import deque

from mirrord.core.generations import Generation
from mirrord.orders import (
    Alive,
    Cover,
    Cut,
    Done,
    Follow,
    GoAlone,
    Hold,
    InSync,
    Lead,
    Linked,
    LocalFault,
    Opened,
    Order,
    Refused,
    Report,
    Serve,
    Unlinked,
    Verify,
    Withdraw,
)


class Volume:
    """One run of it. `now_ns` is when it was started."""

    def __init__(self, now_ns: int) -> None:
        self.opened: Opened | None = None
        self.refusal = ""
        self.fault = ""
        """Why this node should not serve."""
        self.fault_ns = now_ns
        self.mounted = False
        self.ready = False
        """Mounted, and it answers."""
        self.covered = False
        self.alone = False
        """It acknowledges without the peer."""
        self.held = False
        """Both ends are equal, and changes wait."""
        self.stream: Lead | Follow | None = None
        self.linked = False
        self.in_sync = False
        self.number = 0
        """The newest number of the stream, as told last."""
        self.stuck = False
        """It could not do what must be possible."""
        self.alive_ns = now_ns
        self.orders: deque[Order] = deque()
        """Given and not done."""

    @property
    def idle(self) -> bool:
        """Whether it takes an order: it is open and has none."""
        return self.opened is not None and not self.orders

    @property
    def guards(self) -> bool:
        """Whether nobody can change the directories beside us."""
        return self.covered or self.ready

    @property
    def generation(self) -> Generation | None:
        """Of the stream it leads or follows."""
        return Generation(*self.stream.generation) if self.stream is not None else None

    @property
    def withdraws(self) -> bool:
        """Whether it was told to withdraw at once."""
        return any(isinstance(order, Withdraw) and order.force for order in self.orders)

    @property
    def _begun(self) -> bool:
        """Whether what is said of a link can be of this stream: its order is done."""
        return self.stream is not None and self.stream not in self.orders

    def silent(self, now_ns: int, limit_ns: int) -> bool:
        """Whether it hangs while others wait for it: its applications, or the peer's, which would wait for ever, since
        the kernel takes what is sent to it. In the middle of a resync a large folder may take it any time."""
        return (self.mounted or self.in_sync) and now_ns - self.alive_ns > limit_ns

    def ordered(self, order: Order) -> None:
        self.orders.append(order)
        match order:
            case Serve():
                self.mounted, self.covered = True, False
            case Lead() | Follow():
                self._end_stream()
                self.stream = order
                self.held = False
            case Cut() | GoAlone():
                self._end_stream()
            case Withdraw():
                self.ready = False
            case _:
                pass

    def reported(self, report: Report, now_ns: int) -> None:
        self.alive_ns = now_ns
        match report:
            case Opened():
                self.opened = report
            case Refused(sentence):
                self.refusal = sentence
            case Done():
                self._done(self.orders.popleft(), report, now_ns)
            case Linked() if self._begun:
                self.linked = True
            case InSync() if self._begun:
                self.linked = self.in_sync = True
                self.alone = False
            case Unlinked() if self._begun:
                self._end_stream()
                self.alone = False
            case LocalFault(sentence) if not self.fault:
                self.fault, self.fault_ns = sentence, now_ns
            case Alive() | _:
                pass

    def _done(self, order: Order, done: Done, now_ns: int) -> None:
        if done.failure:
            if not self.withdraws:  # which overtakes what is waited for
                self._failed(order, done.failure, now_ns)
            return
        match order:
            case Serve():
                self.ready = True
            case Cover():
                self.covered = True
            case Withdraw():
                self.mounted = self.ready = self.held = self.alone = False
                self.covered = True
                self.number = done.seq
                self._end_stream()
            case GoAlone():
                self.alone, self.held = True, False
            case Hold():
                self.held = True
            case Cut():
                self.number = done.seq
            case _:
                pass

    def _failed(self, order: Order, failure: str, now_ns: int) -> None:
        match order:
            case Lead() | Follow():
                if self.stream == order:
                    self._end_stream()
            case Verify() | Hold():
                pass
            case _:
                self.stuck = True
                self.fault, self.fault_ns = failure, now_ns

    def _end_stream(self) -> None:
        self.stream = None
        self.linked = self.in_sync = False
