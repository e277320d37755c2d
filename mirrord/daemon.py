"""mirrord: the glue between the core and the machine.

One loop: messages, the volume's reports and time go in as events, the core's actions come out and are carried out in
their order. Everything that decides is in mirrord.core; everything that touches the machine is in an adapter.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from farmd.errors import FarmError
from farmd.kit import notify
from farmd.kit.control_server import ControlServer
from farmd.kit.events import Events
from farmd.kit.lock import Lock, run_folder
from farmd.kit.watching import Watching
from farmd.takeovers import Takeovers
from farmd.witness import Witness
from mirrord import orders, reloading, status
from mirrord.answers import Answers
from mirrord.application import Application
from mirrord.child import Volume
from mirrord.config import Config, Node
from mirrord.core import events as core_events
from mirrord.core.events import (
    Action,
    AddressDown,
    AddressUp,
    Broadcast,
    Command,
    Event,
    Finished,
    Lease,
    Note,
    ProbeWitness,
    Quit,
    ReplaceVolume,
    Reported,
    StartApplication,
    StopApplication,
    Stored,
    StoreRefused,
    Tick,
    TookOver,
    VolumeLost,
    WitnessAnswered,
)
from mirrord.core.generations import State
from mirrord.core.role import Core
from mirrord.heartbeats import Heartbeats
from mirrord.identity import NS
from mirrord.linking import Linking
from mirrord.refusals import Refusals
from mirrord.seen import Seen
from mirrord.store import Store
from mirrord.vip import VirtualAddress
from mirrord.window import Window

log = logging.getLogger("mirrord")

STORE_AGAIN_S = 1.0
"""Between two tries to write the state to a disk that refuses."""
DIVERGED_INTERVAL_S = 5.0
"""Between two looks at whether somebody has removed what was kept."""
WITNESS_INTERVAL_NS = 5 * NS
"""Asked so often while nothing depends on it, so that people see whether it answers."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What `program` has opened on this machine, and closes."""

    heartbeats: Heartbeats
    address: VirtualAddress
    store: Store
    opening: orders.Open
    """The volume's first order."""
    lock: Lock
    """The sign that a volume lives."""


class Daemon:
    """One node of one mirror, from start to stop."""

    def __init__(self, path: Path, config: Config, node: Node, core: Core, parts: Parts) -> None:
        self._path = path
        self.config = config
        self.node = node
        self.core = core
        self.heartbeats, self.address, self._store = parts.heartbeats, parts.address, parts.store
        self.volume = Volume(parts.opening, self._take_report, self._lose_volume, parts.lock)
        self.application = Application(
            config, on_event=self.step, on_remark=self.remark, on_step=lambda: self.watching.notice()
        )
        self.seen = Seen(parts.store.folder)
        self.events = Events("generation")
        self.takeovers = Takeovers()
        self.watching = Watching(partial(status.snapshot, self), partial(status.seen, self), config.timing.lease_s)
        self.witness = Witness(config.mirror.witness) if config.mirror.witness else None
        self._witness_asked_ns = 0
        self.refusals = Refusals()
        self.linking = Linking()
        self._window_is_open = True
        self._ready = False
        """Whether the service manager knows that this has started."""
        self._quitting = False
        self._pending: deque[Event] = deque()
        self._stepping = False
        self._stopped = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._saving_again: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Takes part until asked to stop, and has stopped when it returns."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.leave)
        loop.add_signal_handler(signal.SIGINT, self.leave)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        control = ControlServer(run_folder() / f"{self.config.mirror.name}.sock", Answers(self).answer)
        await control.start()
        try:
            # Before a mount can go away and another one come: nothing of an earlier run may see both.
            await self.application.clear()
            self.application.prepare()
            await self.volume.start()
            for sock in self.heartbeats.sockets:
                loop.add_reader(sock, self._read)
            for sock in self.witness.sockets if self.witness is not None else ():
                loop.add_reader(sock, self._read_witness)
            looking = asyncio.create_task(self._look_at_diverged())
            self._tick()
            await self._stopped.wait()
            looking.cancel()
        finally:
            await self._end(control)

    async def _look_at_diverged(self) -> None:
        """A disk may take its time, so not in the loop's own."""
        while True:
            await asyncio.to_thread(self.seen.look_at_diverged)
            await asyncio.sleep(DIVERGED_INTERVAL_S)

    async def _end(self, control: ControlServer) -> None:
        """The application before the mounts that it lives on."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
        self.address.down()
        await self.application.close()
        await self.volume.close()
        if self.witness is not None:
            self.witness.close()
        await control.close()

    # -- events in -----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        for received in self.heartbeats.receive():
            self.step(received)

    def _read_witness(self) -> None:
        assert self.witness is not None
        for sent_ns in self.witness.answers():
            self.seen.witness_ns = time.monotonic_ns()
            self.step(WitnessAnswered(sent_ns))

    def _take_report(self, report: orders.Report) -> None:
        self.seen.take(report)
        if sentence := self.linking.take(report):
            self.remark(sentence)
        self.step(Reported(report))
        if self.core.machine.volume.guards or isinstance(report, orders.Refused):
            self._tell_ready()
        if isinstance(report, orders.InSync) and (kept := self.seen.kept_there()) is not None:
            self.remark(f"{self.core.peer_name} keeps files that only it had in {kept.folder}: {kept.files}")

    def _lose_volume(self, why: str) -> None:
        self.seen.lose()
        self.linking.lose()
        self.step(VolumeLost(why))
        self._tell_ready()

    def _tell_ready(self) -> None:
        """What follows `systemctl start` neither changes the directories beside us nor comes too early for an order. Or
        there will be no more than a status that says why."""
        if not self._ready:
            self._ready = True
            notify.ready()

    def _tick(self) -> None:
        # First everything that has arrived, then judgement: a late loop must not blame its peer.
        self._read()
        self._look_at_the_clock()
        self.step(Tick())
        if time.monotonic_ns() - self._witness_asked_ns >= WITNESS_INTERVAL_NS:
            self._ask_witness()
        heard = bool(self.core.evidence.live(time.monotonic_ns()))
        for sentence in self.refusals.new(self.heartbeats.refused, heard=heard):
            self.remark(sentence)
        notify.watchdog()
        self._schedule()

    def _schedule(self) -> None:
        """Sets the timer to the core's deadline, which every event may have changed."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._stopped.is_set():
            self._timer = asyncio.get_running_loop().call_at(self.core.deadline_ns / NS, self._tick)

    def _look_at_the_clock(self) -> None:
        """Tells the core when the window for the preferred node opens and closes."""
        window = self.config.mirror.prefer_window
        now = time.localtime()
        is_open = not window or Window.parse(window).holds(60 * now.tm_hour + now.tm_min)
        if is_open != self._window_is_open:
            self._window_is_open = is_open
            self.step(core_events.Window(is_open))

    def _ask_witness(self) -> None:
        if self.witness is not None:
            self._witness_asked_ns = time.monotonic_ns()
            self.witness.probe(self._witness_asked_ns)

    def leave(self) -> None:
        """A planned stop: the peer takes over first, if it can. Asked a second time: at once."""
        notify.stopping(self.config.stop_within_s)
        self.step(Quit(force=self._quitting))
        self._quitting = True

    def reload(self) -> None:
        """Take over what of a changed configuration can be changed now, and say what cannot."""
        try:
            self.config, sentences = reloading.reload(self._path, self.config)
        except FarmError as error:
            self.remark(f"going on as before, since the configuration is wrong: {error}")
            return
        for sentence in sentences:
            self.remark(sentence)
        self.volume.tell(orders.Rate(self.config.mirror.resync_rate_bytes_s))

    def step(self, event: Event) -> None:
        """Hands the core an event and carries out what it answers with; also when one is the consequence of another."""
        self._pending.append(event)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._pending:
                for action in self.core.step(time.monotonic_ns(), self._pending.popleft()):
                    self._execute(action)
        finally:
            self._stepping = False
        self._schedule()
        self.watching.notice()

    # -- actions out ---------------------------------------------------------------------------------------------------

    def _execute(self, action: Action) -> None:
        match action:
            case Broadcast():
                self.heartbeats.send(action)
            case Lease(until_ns):
                self.address.renew(until_ns)
            case AddressUp():
                self.address.up(self.core.lease_until_ns)
                self._pending.append(Tick())  # for its lease
            case AddressDown():
                self.address.down()
            case Command(order):
                self.seen.order(order)
                self.linking.order(order)
                self.volume.order(order)
            case ReplaceVolume(reason):
                self.volume.replace(reason)
            case core_events.Store(state):
                self._save(state)
            case core_events.Forgo():
                if self._saving_again is not None:
                    self._saving_again.cancel()
            case StartApplication():
                self.application.start()
            case StopApplication(force):
                self.application.stop(force=force)
            case ProbeWitness():
                self._ask_witness()
            case Note(text):
                self.remark(text)
            case TookOver(silence_ns):
                self.takeovers.record(silence_ns)
            case Finished():
                self._stopped.set()

    def remark(self, text: str) -> None:
        """A line in the log and among the events."""
        generation = self.core.state.generation
        log.info("generation=%s %s", generation, text)
        self.events.record(generation, text)

    def _save(self, state: State) -> None:
        self._store.save_soon(state, partial(self._saved, state))

    def _saved(self, state: State, error: OSError | None) -> None:
        if error is None:
            self.step(Stored())
            return
        self._saving_again = asyncio.get_running_loop().call_later(STORE_AGAIN_S, self._save, state)
        self.step(StoreRefused(str(error.strerror or error), self._store.in_doubt))
