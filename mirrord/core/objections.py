"""Why an operator's wish cannot be fulfilled now: one plain sentence for each reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirrord.core.ending import peer_is_ready
from mirrord.core.events import Event, Promote, Resync, Start, Stop, Swap, Verify
from mirrord.core.generations import Condition
from mirrord.core.readiness import in_sync
from mirrord.core.standing import SERVING, Role

if TYPE_CHECKING:
    from mirrord.core.role import Core


def to(core: Core, now_ns: int, wish: Event) -> str:
    """The objection to a wish, if there is one."""
    match wish:
        case Swap():
            return _to_swap(core, now_ns)
        case Promote(force):
            return _to_promotion(core, now_ns, force=force)
        case Resync() if core.role not in SERVING:
            return "a resync is begun on the node that serves"
        case Verify() if core.role is not Role.PRIM or not in_sync(core):
            return "only a pair in sync is verified, and on the node that serves"
        case Verify() if core.machine.volume.orders:
            return "the volume is busy; try again in a moment"
        case Start() if core.quitting is not None:
            return "the daemon is about to end"
        case Stop() | Start() | Resync() | Verify() | _:
            return ""


def _to_swap(core: Core, now_ns: int) -> str:
    word = core.contact.word(now_ns)
    if word is None:
        return f"{core.peer_name} is not heard"
    if core.role is Role.PRIM:
        if peer_is_ready(core, word):
            return ""
        return f"{core.peer_name} is not in sync" if word.able else f"{core.peer_name} cannot serve"
    if core.role is Role.SECOND:
        return "" if core.able and in_sync(core) else "this node is not in sync"
    return "only a pair in sync can change places; promote a node that waits"


def _to_promotion(core: Core, now_ns: int, *, force: bool) -> str:
    word = core.contact.word(now_ns)
    condition = core.state.condition
    if core.role in SERVING:
        return "this node serves already"
    if word is not None and word.role in SERVING:
        return f"{core.peer_name} serves: let the two change places (swap)"
    if core.role is not Role.WAIT:
        return f"only a node that waits can be promoted, and this one is in {core.role}"
    if core.machine.volume.opened is None:
        return core.machine.volume.refusal or "its volume is not open yet"
    if core.machine.refusal:
        return f"the disk does not take this node's state: {core.machine.refusal}"
    if core.machine.writing is not None or core.machine.serves:
        return "it is about to change its role; try again in a moment"
    if condition is Condition.OUTDATED and not force:
        return "the data here is outdated: acknowledged writes would be lost; promote --force-outdated if that is meant"
    if condition is Condition.INSYNC and word is None and not force:
        return (
            f"{core.peer_name} is not heard and may have gone on alone: acknowledged writes may be lost; "
            "promote --force-outdated if that is meant"
        )
    if condition is Condition.BLANK and word is not None and word.state.generation.number > 0 and not force:
        return f"{core.peer_name} has data and this node has none: promote that one"
    return ""
