"""Whether a node does what its role is for, and if not why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirrord.core.generations import Condition
from mirrord.core.standing import Readiness, Role

if TYPE_CHECKING:
    from mirrord.core.role import Core


def of(core: Core) -> tuple[Readiness, str]:
    """And a sentence; empty where there is nothing to say."""
    if core.machine.refusal and core.role is not Role.ALONE:  # who is alone tries to say that it is so no more
        return Readiness.NOT_READY, _refused(core)
    match core.role:
        case Role.PRIM | Role.ALONE:
            return _serving(core)
        case Role.SECOND if in_sync(core):
            return Readiness.READY, ""
        case Role.SECOND:
            syncing = "it is brought up to date" if core.linked else f"{core.peer_name} has yet to link"
            return Readiness.TRANSIENT, syncing
        case Role.WAIT:
            soon = core.machine.serves or core.machine.writing is not None or core.asks_since_ns is not None
            return (Readiness.TRANSIENT if soon else Readiness.NOT_READY), core.obstacle
        case Role.STOP:
            return (Readiness.TRANSIENT if core.machine.serves else Readiness.NOT_READY), "it is stopped"


def _refused(core: Core) -> str:
    waits = core.role is Role.PRIM and not core.machine.volume.in_sync
    what = "changes wait, since the disk" if waits else "the disk"
    return f"{what} does not take this node's state: {core.machine.refusal}"


def _serving(core: Core) -> tuple[Readiness, str]:
    machine = core.machine
    if core.ending is not None:
        return Readiness.TRANSIENT, core.ending.why
    if machine.volume.fault:
        return Readiness.NOT_READY, machine.volume.fault
    if machine.health.given_up:
        return Readiness.NOT_READY, machine.health.given_up
    if machine.health.failing:
        return Readiness.NOT_READY, f"failing: {', '.join(machine.health.failing)}"
    if not machine.address or not machine.health.ready:
        return Readiness.TRANSIENT, "the application is not ready yet"
    if core.role is Role.PRIM and not machine.volume.in_sync:
        return Readiness.TRANSIENT, f"the stream to {core.peer_name} is gone"
    return Readiness.READY, _refused(core) if machine.refusal else ""


def in_sync(core: Core) -> bool:
    """Whether both have everything, as far as is known here."""
    if core.role is Role.PRIM:
        last = core.contact.peer.state
        return core.machine.volume.in_sync and last is not None and last.state.condition is Condition.INSYNC
    return core.role is Role.SECOND and core.machine.volume.in_sync and core.state.condition is Condition.INSYNC
