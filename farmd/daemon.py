"""farmd: the glue between the core and the machine.

One loop: messages and time go in as events, the core's actions come out and are carried out in their order. Everything
that decides is in farmd.core; everything that touches the machine is in an adapter of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from functools import partial
from pathlib import Path

from farmd import flows, identity, status
from farmd.answers import Answers
from farmd.config import Config, Node
from farmd.config_file import load_here
from farmd.core.buckets import CLOSED, OPEN
from farmd.core.duties import Duties
from farmd.core.events import (
    Action,
    Broadcast,
    Event,
    Flows,
    Health,
    Install,
    Lease,
    Leave,
    Note,
    Received,
    Stop,
    Tick,
    TookOver,
    WitnessAnswered,
)
from farmd.core.membership import Membership
from farmd.core.supervisor_events import Quit, Surroundings, Wish
from farmd.core.view import BUCKETS
from farmd.datapath import Datapath
from farmd.errors import FarmError
from farmd.heartbeats import Heartbeats
from farmd.kit import notify
from farmd.kit.control_server import ControlServer
from farmd.kit.events import Events
from farmd.kit.lock import run_folder
from farmd.kit.watching import Watching
from farmd.moves import Moves
from farmd.supervising import Supervising, duties
from farmd.takeovers import Takeovers
from farmd.traffic import Meter
from farmd.witness import Witness

log = logging.getLogger("farmd")

HANDOVER_VARIABLE = "FARMD_HANDOVER"
FLOWS_INTERVAL_S = 2.0
FLOWS_INTERVAL_LEAVING_S = 0.1


class Daemon:
    """One node of one farm, from start to stop."""

    def __init__(
        self, path: Path, config: Config, node: Node, datapath: Datapath, heartbeats: Heartbeats, incarnation: int
    ) -> None:
        self._path = path
        self.config = config
        self.node = node
        self.datapath = datapath
        self.heartbeats = heartbeats
        self.replace = False
        """Set by SIGHUP: after leaving, start the program anew in this process."""
        self._keys = {identity.key_id(key): identity.hash_key(key) for key in config.farm.keys}
        self._key_in_filter: int | None = None
        self._table = CLOSED
        self.moves = Moves()
        self.takeovers = Takeovers()
        self.meter = Meter()
        self.watching = Watching(partial(status.watched, self), partial(status.seen, self), config.timing.lease_s)
        self._witness = Witness(config.farm.witness) if config.farm.witness else None
        settings = identity.settings(config, node)
        self._stopped = asyncio.Event()
        self._left = False
        self.events = Events("epoch")
        self.supervising = Supervising(
            config.services,
            config.checks,
            config.farm.name,
            _duties(config),
            on_health=self._take_health,
            on_remark=self._remark,
            on_finished=self._stopped.set,
            on_step=self.watching.notice,
        )
        ready = self.supervising.core.ready
        self.core = Membership(settings, incarnation, time.monotonic_ns(), flows=served_before(), ready=ready)
        self._look_again = asyncio.Event()
        self._handing_over: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serves until asked to leave, and has left when it returns."""
        loop = asyncio.get_running_loop()
        for sock in self.heartbeats.sockets:
            loop.add_reader(sock, self._read)
        if self._witness is not None:
            for sock in self._witness.sockets:
                loop.add_reader(sock, self._read_witness)
        loop.add_signal_handler(signal.SIGTERM, self.leave)
        loop.add_signal_handler(signal.SIGINT, self.leave)
        loop.add_signal_handler(signal.SIGHUP, self.hand_over)
        control = ControlServer(run_folder() / f"{self.config.farm.name}.sock", Answers(self).answer)
        await control.start()
        watching = asyncio.create_task(self._watch_flows())
        await self.supervising.start()
        notify.ready()
        self._tick()
        try:
            await self._stopped.wait()
        finally:
            watching.cancel()
            if self._timer is not None:
                self._timer.cancel()
            if self._witness is not None:
                self._witness.close()
            await self.supervising.close()
            await control.close()

    # -- events in -----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        for heartbeat in self.heartbeats.receive():
            self.step(Received(heartbeat))
        self.schedule()

    def _read_witness(self) -> None:
        assert self._witness is not None
        for sent_ns in self._witness.answers():
            self.step(WitnessAnswered(sent_ns))

    def _tick(self) -> None:
        # First everything that has arrived, then judgement: a late loop must not blame its peers.
        self._read()
        self.step(Tick())
        if self._witness is not None and self.core.in_doubt(time.monotonic_ns()):
            self._witness.probe(time.monotonic_ns())
        if self.meter.due(time.monotonic_ns()):
            self.meter.read(time.monotonic_ns(), self.datapath.counters())
        notify.watchdog()
        self.schedule()

    def schedule(self) -> None:
        """Due after every `step`: sets the timer to the core's deadline, which every event may have changed."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._stopped.is_set():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self.core.deadline_ns / identity.NS, self._tick)

    def leave(self) -> None:
        """A planned stop. Asked a second time: without waiting for flows."""
        notify.stopping(self.config.stop_within_s)
        self.replace = False
        now_ns = time.monotonic_ns()
        farm = self.config.farm
        self.supervising.step(Quit(forced=self.core.leaving))
        patience_s = 0 if self.core.leaving else farm.drain_ahead_s + farm.drain_timeout_s
        self.step(Leave(now_ns + round(patience_s * identity.NS)))
        self._look_again.set()
        self.schedule()

    def wish(self, wish: Wish) -> None:
        """What an operator wants of a service."""
        self.supervising.step(wish)
        self._look_again.set()
        self.schedule()

    def hand_over(self) -> None:
        """Leave the view, keep the filter passing old flows, start anew: for a new configuration or version.

        Who is asked to stop, before or after, stops.
        """
        if self._handing_over is None or self._handing_over.done():
            self._handing_over = asyncio.create_task(self._hand_over())

    async def _hand_over(self) -> None:
        try:
            await asyncio.to_thread(load_here, self._path)
        except FarmError as error:
            log.error("going on as before, since the configuration is wrong: %s", error)
            return
        if self.core.leaving:
            return
        self.replace = True
        self.step(Leave(time.monotonic_ns()))
        self.schedule()

    def step(self, event: Event) -> None:
        """Hands the core an event and carries out what it answers with."""
        for action in self.core.step(time.monotonic_ns(), event):
            self._execute(action)
        core = self.core
        if self._left or not self.supervising.idle:
            around = Surroundings(core.released, core.flows, core.everyone_fails, self._left)
            self.supervising.look_around(around)
        self.watching.notice()

    # -- actions out ---------------------------------------------------------------------------------------------------

    def _execute(self, action: Action) -> None:
        match action:
            case Broadcast():
                self.heartbeats.send(action, self.meter.traffic)
            case Lease(until_ns):
                self.datapath.renew(until_ns)
            case Install(states, hash_key_id, epoch):
                self._use_hash_key(hash_key_id)
                self.datapath.install(states)
                self.moves.record(self._table, states, epoch, time.monotonic_ns())
                self._table = states
            case Note(epoch, text):
                log.info("epoch=%s %s", epoch, text)
                self.events.record(epoch, text)
            case TookOver(_, silence_ns):
                self.takeovers.record(silence_ns)
            case Stop() if self.replace:
                self._stopped.set()
            case Stop():
                self._left = True

    def _take_health(self, health: Health) -> None:
        self.step(health)
        self.schedule()

    def _remark(self, text: str) -> None:
        self._execute(Note(self.core.follower.installed, text))

    def _use_hash_key(self, key_id: int) -> None:
        # The core has closed every bucket before it changes the key, so no packet is judged by half of one.
        if key_id != self._key_in_filter:
            self.datapath.set_hash_key(self._keys[key_id])
            self._key_in_filter = key_id

    # -- the drain -----------------------------------------------------------------------------------------------------

    async def _watch_flows(self) -> None:
        """As long as buckets move: tells the core whether old flows are left here."""
        while True:
            view = self.core.view
            if view is not None and view.moving and self.core.follower.flows:
                ours = frozenset(bucket for bucket in range(BUCKETS) if self.core.follower.table[bucket] in OPEN)
                key = self._keys[self.core.follower.hash_key_id]
                present = await flows.any_elsewhere(self.config.farm.vips, self.config.rules, key, ours)
                self.step(Flows(view.epoch, present))
                self.schedule()
            await self._watch_pause()

    async def _watch_pause(self) -> None:
        """Until it is worth looking again; who leaves, or waits to stop a service, is impatient."""
        hurry = self.core.leaving or self.supervising.core.announced
        pause_s = FLOWS_INTERVAL_LEAVING_S if hurry else FLOWS_INTERVAL_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._look_again.wait(), pause_s)
        self._look_again.clear()


def _duties(config: Config) -> Duties:
    """What is to be looked after. A broken service waits for its buckets to move as long as a view change may take."""
    farm = config.farm
    return duties(
        config.services,
        config.checks,
        announce_s=farm.drain_ahead_s,
        drain_s=farm.drain_timeout_s,
        release_s=2 * config.timing.suspect_after_s,
    )


def served_before() -> bool:
    """Whether this program replaced itself: then flows of its earlier life may be here."""
    return HANDOVER_VARIABLE in os.environ
