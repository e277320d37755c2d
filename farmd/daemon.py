"""farmd: the glue between the core and the machine.

One loop: messages and time go in as events, the core's actions come out and are carried out in their order. Everything
that decides is in farmd.core; everything that touches the machine is in an adapter of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from farmd import flows, identity, links, status
from farmd.config import Config, Node, load
from farmd.core.buckets import CLOSED, OPEN, State
from farmd.core.events import (
    Action,
    Broadcast,
    Command,
    Event,
    Flows,
    Install,
    Lease,
    Leave,
    Note,
    Received,
    Stop,
    Tick,
    WitnessAnswered,
)
from farmd.core.membership import Membership
from farmd.core.view import BUCKETS
from farmd.datapath import Datapath
from farmd.errors import FarmError, MachineError
from farmd.heartbeats import Heartbeats
from farmd.kit import log as logs
from farmd.kit import notify
from farmd.kit.control_server import ControlServer
from farmd.kit.lock import hold_farm_lock, run_folder
from farmd.moves import Moves
from farmd.witness import Witness

log = logging.getLogger("farmd")

REALTIME_PRIORITY = 50
HANDOVER_LEASE_NS = 10 * identity.NS
"""How long a daemon that replaces itself lets old flows pass: ample for a start, short if it never comes."""
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
        self._witness = Witness(config.farm.witness) if config.farm.witness else None
        self._names = {other.name: other.id for other in config.nodes}
        settings = identity.settings(config, node)
        self.core = Membership(settings, incarnation, time.monotonic_ns(), flows=_served_before())
        self._stopped = asyncio.Event()
        self._look_again = asyncio.Event()
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
        control = ControlServer(run_folder() / f"{self.config.farm.name}.sock", self._answer)
        await control.start()
        watching = asyncio.create_task(self._watch_flows())
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
            await control.close()

    # -- events in -----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        for heartbeat in self.heartbeats.receive():
            self._step(Received(heartbeat))
        self._schedule()

    def _read_witness(self) -> None:
        assert self._witness is not None
        for sent_ns in self._witness.answers():
            self._step(WitnessAnswered(sent_ns))

    def _tick(self) -> None:
        # First everything that has arrived, then judgement: a late loop must not blame its peers.
        self._read()
        self._step(Tick())
        if self._witness is not None and self.core.in_doubt(time.monotonic_ns()):
            self._witness.probe(time.monotonic_ns())
        notify.watchdog()
        self._schedule()

    def _schedule(self) -> None:
        """Sets the timer to the core's deadline, which every event may have changed."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._stopped.is_set():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self.core.deadline_ns / identity.NS, self._tick)

    def leave(self) -> None:
        """A planned stop. Asked a second time: without waiting for flows."""
        notify.stopping()
        self.replace = False
        now_ns = time.monotonic_ns()
        patience_ns = 0 if self.core.leaving else round(self.config.farm.drain_timeout_s * identity.NS)
        self._step(Leave(now_ns + patience_ns))
        self._look_again.set()
        self._schedule()

    def hand_over(self) -> None:
        """Leave the view, keep the filter passing old flows, start anew: for a new configuration or version.

        Who is asked to stop, before or after, stops.
        """
        if self.core.leaving:
            return
        try:
            load(self._path)
        except FarmError as error:
            log.error("going on as before, since the configuration is wrong: %s", error)
            return
        self.replace = True
        self._step(Leave(time.monotonic_ns()))
        self._schedule()

    def _step(self, event: Event) -> None:
        for action in self.core.step(time.monotonic_ns(), event):
            self._execute(action)

    # -- actions out ---------------------------------------------------------------------------------------------------

    def _execute(self, action: Action) -> None:
        match action:
            case Broadcast():
                self.heartbeats.send(action)
            case Lease(until_ns):
                self.datapath.renew(until_ns)
            case Install(states, hash_key_id, epoch):
                self._use_hash_key(hash_key_id)
                self.datapath.install(states)
                self.moves.record(self._table, states, epoch, time.monotonic_ns())
                self._table = states
            case Note(text):
                log.info("%s", text)
            case Stop():
                self._stopped.set()

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
                self._step(Flows(view.epoch, present))
                self._schedule()
            await self._watch_pause()

    async def _watch_pause(self) -> None:
        """Until it is worth looking again; who leaves is impatient."""
        pause_s = FLOWS_INTERVAL_S if not self.core.leaving else FLOWS_INTERVAL_LEAVING_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._look_again.wait(), pause_s)
        self._look_again.clear()

    # -- the control socket --------------------------------------------------------------------------------------------

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        verb = request.get("verb")
        if verb == "status":
            return self._status()
        if verb == "buckets":
            return status.buckets(self.config, self.core, self.datapath)
        if verb in ("drain", "undrain", "weight"):
            return self._order(str(verb), request)
        raise MachineError(f"farmd knows no verb {verb}")

    def _status(self) -> dict[str, Any]:
        now_ns = time.monotonic_ns()
        answer = status.snapshot(self.config, self.node, self.core, self.datapath, self.heartbeats, now_ns)
        return answer | {"moves": self.moves.all()}

    def _order(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        name = request.get("node")
        if name not in self._names:
            raise MachineError(f"farm {self.config.farm.name} has no node {name}; it has {', '.join(self._names)}")
        weight = request.get("weight")
        if verb == "weight" and (type(weight) is not int or not 0 <= weight <= 1000):
            raise MachineError("a weight is a whole number from 0 to 1000")
        drained = None if verb == "weight" else verb == "drain"
        self._step(Command(self._names[name], drained=drained, weight=weight if verb == "weight" else None))
        self._schedule()
        return {"epoch": str(self.core.follower.installed)}


def _served_before() -> bool:
    """Whether this program replaced itself: then flows of its earlier life may be here."""
    return HANDOVER_VARIABLE in os.environ


def serve(path: Path, config: Config, node: Node) -> bool:
    """Takes this machine into the farm and out again. True if the program shall start anew."""
    farm = config.farm
    mac = links.interface_mac(farm.interface)
    # Later than every earlier start's, also across a reboot, as long as the clock is not set back; and if it is, peers
    # accept any number that is new to them.
    incarnation = time.time_ns()
    heartbeats = Heartbeats(config, node, incarnation)
    with contextlib.ExitStack() as undo:
        undo.callback(heartbeats.close)
        datapath = Datapath.open(farm.interface, farm.name, farm.xdp)
        keep = False
        undo.callback(lambda: datapath.close(keep=keep))
        if not _served_before():
            datapath.renew(0)
            datapath.install(CLOSED)
        datapath.configure(farm.vips, config.rules, farm.vmac, mac)
        machine = links.Links(farm.name, farm.interface, farm.vips, farm.vmac)
        machine.up()
        undo.callback(lambda: None if keep else machine.down())
        log.info("node %s of farm %s on %s, xdp %s (%s)", node.name, farm.name, farm.interface, datapath.mode,
                 datapath.mode_reason)  # fmt: skip
        daemon = Daemon(path, config, node, datapath, heartbeats, incarnation)
        with _punctual():
            asyncio.run(daemon.run())
        keep = daemon.replace
        if keep:
            datapath.install(bytes([State.DRAINING]) * BUCKETS)
            datapath.renew(time.monotonic_ns() + HANDOVER_LEASE_NS)
    return keep


@contextlib.contextmanager
def _punctual() -> Iterator[None]:
    """Real-time priority, as corosync and keepalived have it: load on the machine must not fence the node. Only while
    serving; starting and cleaning up may take their time, and must not take anybody else's.
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("farmd", description="One node of a farm that shares a virtual IP.")
    parser.add_argument("--config", type=Path, required=True, help="the farm's TOML file")
    parser.add_argument("--node", help="which of its nodes this is (default: the one with this machine's addresses)")
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info")
    return parser.parse_args()


def main() -> None:
    """The command `farmd`."""
    arguments = _arguments()
    logs.start(arguments.log_level)
    try:
        config = load(arguments.config)
        if os.geteuid() != 0:
            raise MachineError("farmd must run as root: it attaches a filter to a network interface")
        node = identity.find_node(config, arguments.node)
        lock = hold_farm_lock(config.farm.name)
        try:
            again = serve(arguments.config, config, node)
        finally:
            lock.release()
    except FarmError as error:
        sys.exit(f"farmd: {error}")
    if again:
        os.environ[HANDOVER_VARIABLE] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
