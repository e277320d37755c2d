"""What each event changes in what a node knows, before it decides anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farmd.core.settings import MS
from mirrord.core import serving, waiting
from mirrord.core.events import (
    ApplicationStopped,
    Event,
    Health,
    Heartbeat,
    ProbeWitness,
    Promote,
    Quit,
    Received,
    Reported,
    Resync,
    Start,
    Stop,
    Stored,
    StoreRefused,
    Swap,
    Tick,
    Verify,
    VolumeLost,
    Window,
    WitnessAnswered,
)
from mirrord.core.settings import S
from mirrord.core.standing import Role
from mirrord.orders import LocalFault, Refused, Report, Unlinked

if TYPE_CHECKING:
    from mirrord.core.role import Core

CLOCKS_APART_NS_MAX = 1 * S
"""Further apart, times of files look wrong after a failover."""
SWAP_WISH_NS = 10 * S
"""For how long an operator's wish, given at the node that follows, is passed on."""


def take(core: Core, now_ns: int, event: Event) -> None:
    """Takes note of an event."""
    machine = core.machine
    match event:
        case Tick():
            _tick(core, now_ns)
        case Received(heartbeat, apart_ns):
            _receive(core, now_ns, heartbeat, apart_ns)
        case WitnessAnswered(sent_ns):
            core.contact.witness_ns = max(core.contact.witness_ns, sent_ns)
        case Reported(report):
            _tell_of(core, now_ns, report)
            machine.volume.reported(report, now_ns)
        case VolumeLost(reason):
            mounted = machine.volume.mounted
            machine.lose_volume(now_ns)
            machine.note(f"the volume has ended: {reason}")
            if mounted:
                core.fence("the volume has ended")
        case Stored():
            machine.stored(now_ns)
        case StoreRefused(reason, in_doubt):
            machine.store_refused(now_ns, reason, in_doubt=in_doubt)
        case ApplicationStopped():
            machine.application_stopped()
        case Health():
            _weigh_health(core, now_ns, event)
        case Window(is_open):
            core.window_open = is_open
        case Quit():
            core.quitting = event
            _dismiss(core, now_ns)
        case _:
            _heed(core, now_ns, event)


def _tick(core: Core, now_ns: int) -> None:
    elapsed_ns = now_ns - core.ticked_ns
    core.ticked_ns = now_ns
    if elapsed_ns > core.settings.stale_ns:
        lost_ns = elapsed_ns - core.settings.heartbeat_ns
        core.evidence.forgive(lost_ns, now_ns)
        core.machine.volume.alive_ns += lost_ns
    if elapsed_ns > core.settings.excluded_ns:
        core.contact.awake_ns = now_ns
        if core.role is Role.PRIM:
            core.fence(f"this node stood still for {elapsed_ns // MS} ms")
    if core.role in (Role.PRIM, Role.SECOND) and core.contact.in_doubt(now_ns):
        core.machine.out.append(ProbeWitness())


def _receive(core: Core, now_ns: int, heartbeat: Heartbeat, apart_ns: int) -> None:
    before = core.contact.peer.state
    if core.contact.accept(now_ns, heartbeat):
        core.asked |= heartbeat.state.asks and not (before is not None and before.asks)
        far = abs(apart_ns) > CLOCKS_APART_NS_MAX
        if far and abs(core.contact.clocks_apart_ns) <= CLOCKS_APART_NS_MAX:
            core.machine.note(f"the clocks of the two nodes are {abs(apart_ns) / S:.1f} s apart")
        core.contact.clocks_apart_ns = apart_ns


def _tell_of(core: Core, now_ns: int, report: Report) -> None:
    match report:
        case Refused(sentence):
            core.machine.note(sentence)
        case LocalFault(sentence) if not core.machine.volume.fault:
            _fails_here(core, now_ns, sentence)
        case Unlinked(reason):
            core.machine.note(f"the stream has ended: {reason}")
        case _:
            pass


def _weigh_health(core: Core, now_ns: int, health: Health) -> None:
    known, core.machine.health = core.machine.health, health
    if health.given_up and not known.given_up:
        _fails_here(core, now_ns, f"the application cannot be kept running here: {health.given_up}")
    if health.elsewhere and not known.elsewhere:
        _fails_here(core, now_ns, f"the other node may do better: {health.elsewhere}")


def _fails_here(core: Core, now_ns: int, sentence: str) -> None:
    core.machine.note(sentence)
    core.broken_until_ns, core.broken_why = now_ns + core.settings.broken_ns, sentence


def _heed(core: Core, now_ns: int, wish: Event) -> None:
    """An operator's wish. Who asks for an objection first is told why nothing comes of it."""
    if core.objection(now_ns, wish):
        return
    match wish:
        case Swap():
            core.swap_until_ns = now_ns + SWAP_WISH_NS
        case Promote():
            waiting.promote(core)
        case Stop():
            _dismiss(core, now_ns)
        case Start():
            core.wanted, core.broken_until_ns = True, core.ticked_ns
        case Resync():
            serving.compare_anew(core)
        case Verify():
            serving.verify(core)
        case _:
            raise AssertionError(f"not a wish: {wish}")


def _dismiss(core: Core, now_ns: int) -> None:
    if core.wanted:
        core.wanted, core.unwanted_ns = False, now_ns
