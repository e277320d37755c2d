"""The volume: carries out its daemon's orders, one after the other, and tells what becomes of them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from farmd.errors import FarmError, MachineError
from mirrord.orders import (
    Alive,
    Cover,
    Cut,
    Done,
    Follow,
    GoAlone,
    Hold,
    Lead,
    LocalFault,
    Opened,
    Order,
    Quit,
    Rate,
    Report,
    Serve,
    Verify,
    Withdraw,
)
from mirrord.orders import Open as Opening
from mirrord.volume.journal.journal import Journal
from mirrord.volume.link import greeting
from mirrord.volume.link.dialling import Line
from mirrord.volume.link.peering import Pair, Peering
from mirrord.volume.loop import Loop
from mirrord.volume.mounting import suitable
from mirrord.volume.mounting.place import Place
from mirrord.volume.parent import Parent
from mirrord.volume.primary import Primary
from mirrord.volume.secondary import Secondary

log = logging.getLogger(__name__)

ALIVE_INTERVAL_S = 1.0
SETTLE_INTERVAL_S = 0.25
"""How often the times of what has changed are told to the peer."""
LINK_INTERVAL_S = 0.25
"""How often it is looked whether the link's network still answers."""
THREADS = 8
"""For what would hold up the loop: fsync(2) above all, several of which the disk can combine."""
LOOK_INTERVAL_S = 0.002
"""How often an order that waits for something looks for it."""

Steps = Generator[None, None, None]


class Volume:
    """From Open to the end of the process."""

    def __init__(self, order: Opening, loop: Loop) -> None:
        """Looks, and changes nothing but the folder of the journal. Raises FarmError if a directory cannot be
        mirrored or the journal not be used."""
        self._order = order
        self._loop = loop
        self._parent: Parent
        self._places = _open_places(order.directories)
        self._journal = _open_journal(Path(order.folder), len(self._places), loop)
        line = Line(order.addresses, order.peer_addresses, order.port, order.tls)
        keyring = greeting.keyring(order.keys)
        self._peering = Peering(Pair(order.mirror, order.node, order.peer, line, keyring), loop, self._tell)
        self._rate_bytes_s = order.rate_bytes_s
        self._threads = ThreadPoolExecutor(THREADS, "beside")
        self._primary = self._new_primary()
        self._secondary = Secondary(
            self._places, self._journal, Path(order.folder), loop, self._threads, self._peering, self._tell,
            on_disk=order.ack == "disk",
        )  # fmt: skip
        self._newest = 0
        """The number that Done tells."""
        self._queue: deque[tuple[Order, int]] = deque()
        self._steps: tuple[Steps, int] | None = None
        """The order that is being carried out, and its number."""

    def serve(self, parent: Parent) -> None:
        """Say what was found, and begin to live."""
        self._parent = parent
        self._tell(Opened(all(place.is_empty() for place in self._places), self._journal.unclean))
        self._loop.every(ALIVE_INTERVAL_S, self._give_sign_of_life)
        self._loop.every(SETTLE_INTERVAL_S, lambda: self._primary.settle_times())
        self._loop.every(LINK_INTERVAL_S, self._look_at_link)

    def _look_at_link(self) -> None:
        for stream in (self._primary.stream, self._secondary.stream):
            if stream is not None:
                stream.look(LINK_INTERVAL_S, self._order.silent_after_s)

    def orphaned(self) -> None:
        """The daemon is no more: nobody may rely on this node. The covers stay."""
        log.error("the daemon has gone: this volume fences itself")
        self._peering.close()
        self._secondary.end_link()
        self._primary.withdraw_now()
        self._loop.end()

    # -- orders --------------------------------------------------------------------------------------------------------

    def obey(self, order: Order, number: int) -> None:
        """Take an order. One that cannot wait ends the one that is waited for."""
        self._queue.append((order, number))
        urgent = isinstance(order, Cut | GoAlone | Quit) or (isinstance(order, Withdraw) and order.force)
        if urgent and self._steps is not None:
            steps, waiting = self._steps
            steps.close()
            self._finish(waiting, "another order came before it was done")
        self._begin_next()

    def _begin_next(self) -> None:
        while self._steps is None and self._queue:
            order, number = self._queue.popleft()
            log.debug("order %d: %s", number, type(order).__name__)
            self._steps = self._carry_out(order), number
            self._go_on(number)

    def _go_on(self, number: int) -> None:
        if self._steps is None or self._steps[1] != number:
            return
        try:
            next(self._steps[0])
        except StopIteration:
            self._finish(number, "")
        except (FarmError, OSError) as error:
            self._finish(number, str(getattr(error, "strerror", None) or error))
        else:
            self._loop.after(LOOK_INTERVAL_S, lambda: self._go_on_and_begin_next(number))

    def _go_on_and_begin_next(self, number: int) -> None:
        self._go_on(number)
        self._begin_next()

    def _finish(self, number: int, failure: str) -> None:
        self._steps = None
        if failure:
            log.warning("order %d could not be carried out: %s", number, failure)
        self._parent.report(Done(self._newest, failure), number)

    def _carry_out(self, order: Order) -> Steps:
        primary, secondary = self._primary, self._secondary
        match order:
            case Cover():
                yield from self._everywhere(Place.cover)
            case Serve():
                secondary.end_link()
                yield from primary.serve(self._order.mirror)
            case Withdraw(force=False):
                yield from primary.withdraw()
                self._replace_primary()
            case Withdraw(force=True):
                primary.withdraw_now()
                self._replace_primary()
            case Lead():
                secondary.end_link()
                primary.lead(order)
            case Follow():
                primary.end_link()
                secondary.follow(order)
            case Cut():
                primary.end_link()
                secondary.end_link()
                self._newest = max(primary.replicator.seq, secondary.applied)
            case GoAlone():
                primary.end_link()
                secondary.end_link()
                primary.replicator.go_alone()
            case Hold():
                yield from primary.hold()
                self._newest = primary.replicator.seq
            case Verify():
                primary.verify()
            case Rate(bytes_s):
                self._rate_bytes_s = bytes_s
                primary.limit(bytes_s)
            case Quit():
                primary.withdraw_now()
                secondary.end_link()
                yield from self._everywhere(Place.uncover)
                self._loop.after(0, self._loop.end)

    def _everywhere(self, work: Callable[[Place], None]) -> Steps:
        """In a thread, for each directory."""
        for place in self._places:
            working = self._threads.submit(work, place)
            while not working.done():
                yield
            working.result()

    def _replace_primary(self) -> None:
        self._newest = self._primary.replicator.seq
        self._primary = self._new_primary()

    def _new_primary(self) -> Primary:
        return Primary(
            self._places, self._journal, self._loop, self._threads, self._peering, self._tell,
            on_disk=self._order.ack == "disk", rate_bytes_s=self._rate_bytes_s,
        )  # fmt: skip

    def _tell(self, report: Report) -> None:
        self._parent.report(report)

    def _give_sign_of_life(self) -> None:
        self._tell(Alive(self._figures()))
        if self._journal.failure:
            self._tell(LocalFault(self._journal.failure))

    def _figures(self) -> dict[str, object]:
        return {**self._primary.figures(), "zones": self._journal.zones}


def _open_places(directories: Sequence[str]) -> list[Place]:
    suitable.check(directories)
    try:
        return [Place(number, path) for number, path in enumerate(directories)]
    except OSError as error:
        raise MachineError(f"a directory cannot be opened: {error}") from error


def _open_journal(folder: Path, trees: int, loop: Loop) -> Journal:
    try:
        return Journal(folder / "journal", trees, loop.post)
    except OSError as error:
        raise MachineError(f"the journal in {folder} cannot be used: {error.strerror}") from error
