"""The end of serving in peace: the application ends by itself, and if the peer is in sync it takes the place.

    application   is stopped; clients see it end
    address       is given away
    hold          the volume settles what is under way: both ends are equal
    withdraw      the mount ends; the last number of the stream is known
    store         served = no, and then it is said: the peer compares the number, stores served = yes, and serves

A crash before the store: both are in sync, this node served last and leads again once they hear each other. A crash
after: neither served last; whichever leads has everything. So `served` only decides between two of which each may
lead, and a disk that refuses it does not keep the other node from serving.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mirrord.core.generations import Condition
from mirrord.core.machine import Application
from mirrord.core.standing import Role, Word
from mirrord.orders import Hold, Withdraw

if TYPE_CHECKING:
    from mirrord.core.role import Core


@dataclass(slots=True)
class Ending:
    """Why, and whether the peer takes the place."""

    why: str
    handover: bool
    stopped_ns: int | None = None
    """When the application had ended."""
    held: bool = False
    """The volume was told to hold."""


def consider(core: Core, now_ns: int, word: Word | None) -> None:
    """Whether to begin, or to take it back."""
    if core.machine.writing is not None or core.role not in (Role.PRIM, Role.ALONE):
        return
    ready = word is not None and peer_is_ready(core, word)
    if core.ending is not None:
        if core.ending.handover and core.machine.volume.mounted and (not ready or _late(core, now_ns)):
            _take_back(core, now_ns)
        return
    if not core.wanted and (ready or core.role is Role.ALONE or not _soon(core, now_ns)):
        core.ending = Ending("it is to stop", handover=ready)
    elif ready and word is not None and (why := _wish(core, now_ns, word)):
        core.ending = Ending(why, handover=True)
    if core.ending is not None:
        core.machine.note(f"ends serving: {core.ending.why}")


def _soon(core: Core, now_ns: int) -> bool:
    """PRIM that is to stop while its peer has yet to say that it is in sync, or that it is not."""
    forced = core.quitting is not None and core.quitting.force
    patient = not forced and now_ns - core.unwanted_ns < core.settings.handover_ns
    return patient and core.role is Role.PRIM and core.contact.word(now_ns) is not None and core.asks_since_ns is None


def peer_is_ready(core: Core, word: Word) -> bool:
    """Whether the peer can take the place now."""
    return (
        core.role is Role.PRIM
        and core.asks_since_ns is None
        and core.machine.volume.in_sync
        and word.role is Role.SECOND
        and word.able
        and not word.storing
        and word.state.condition is Condition.INSYNC
        and word.state.generation == core.state.generation
        and word.follows == core.state.generation
    )


def _late(core: Core, now_ns: int) -> bool:
    assert core.ending is not None
    stopped_ns = core.ending.stopped_ns
    return stopped_ns is not None and now_ns - stopped_ns >= core.settings.handover_ns


def _wish(core: Core, now_ns: int, word: Word) -> str:
    settings = core.settings
    if now_ns < core.swap_until_ns or word.wants_swap:
        core.stands_in = False
        return "the two change places"
    rests = core.machine.application is Application.OFF and now_ns < core.next_try_ns
    if core.machine.health.given_up or rests:
        return core.broken_why
    if core.machine.health.elsewhere:
        return core.machine.health.elsewhere
    settled = now_ns - core.since_ns >= settings.prefer_after_ns
    if core.stands_in and settings.prefer == settings.peer and core.window_open and settled:
        return f"{core.peer_name} is preferred"
    return ""


def _take_back(core: Core, now_ns: int) -> None:
    """Nothing durable was said, so it serves on; if the stream is gone, as after any other loss of it. The application
    does not rest here, since nobody else can run it now."""
    core.machine.note("serves on: the peer cannot take over")
    core.ending = None
    core.swap_until_ns = core.since_ns  # not again and again
    core.broken_until_ns = now_ns


def work(core: Core, now_ns: int) -> None:
    machine, volume, ending = core.machine, core.machine.volume, core.ending
    assert ending is not None
    if machine.application is not Application.OFF:
        machine.stop_application(force=core.quitting is not None and core.quitting.force)
        return
    ending.stopped_ns = now_ns if ending.stopped_ns is None else ending.stopped_ns
    machine.give_address()
    if machine.writing is not None or volume.orders:
        return
    if ending.handover and not ending.held:
        ending.held = True
        machine.order(Hold())
    elif volume.mounted and (volume.held or not ending.handover):
        machine.order(Withdraw())
    elif volume.mounted:
        _take_back(core, now_ns)
    elif ending.handover:
        _hand_over(core)
    else:
        core.become(now_ns, Role.WAIT, ending.why)


def _hand_over(core: Core) -> None:
    number = core.machine.volume.number

    def then(stored_ns: int) -> None:
        if core.role is Role.PRIM:
            core.become(stored_ns, Role.SECOND, f"hands over to {core.peer_name}")
            core.handed, core.fresh = number, True

    core.machine.store(replace(core.state, served=False), then, dispensable=True)
