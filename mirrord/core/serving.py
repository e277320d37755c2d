"""PRIM and ALONE: the node that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirrord.core import ending
from mirrord.core.contest import Part, must_keep
from mirrord.core.generations import Condition, Relation, relation
from mirrord.core.machine import Application
from mirrord.core.standing import Role, Word
from mirrord.orders import Cut, GoAlone, Lead, Serve, Verify

if TYPE_CHECKING:
    from mirrord.core.role import Core


# -- what to be --------------------------------------------------------------------------------------------------------


def decide(core: Core, now_ns: int) -> None:
    word = core.contact.word(now_ns)
    if word is not None and core.verdict(word).part is Part.FOLLOW:
        core.fence(f"{core.peer_name} has generation {word.state.generation}, which counts")
    elif core.contact.cap_ns(now_ns, core.role) <= now_ns:
        core.fence(_lost(core))
    elif core.machine.volume.fault and word is not None and ending.peer_is_ready(core, word):
        core.fence(core.machine.volume.fault)
    elif core.machine.writing is not None:
        _unstored(core, now_ns, word)
    else:
        if core.role is Role.PRIM:
            _paired(core, now_ns, word)
        else:
            _alone(core, word)
        ending.consider(core, now_ns, word)


def _unstored(core: Core, now_ns: int, word: Word | None) -> None:
    """What the disk refuses to take. Of one that is alone: that it is so no more; without a stream it is again. Of one
    that is in sync: that it goes on without its peer. Till then changes wait, but not for ever, nor any longer once the
    peer can serve."""
    machine = core.machine
    if core.role is Role.ALONE:
        if machine.refused_now and not _paired_here(core):
            machine.forgo()
    elif machine.refusal and not machine.volume.in_sync:
        core.asks_since_ns = None  # a peer that is not outdated yet had better stay so
        if word is not None and _may_replace(core, word):
            core.fence(f"the disk does not take its state, and {core.peer_name} can serve")
        elif now_ns - machine.refused_ns >= core.settings.held_ns:
            why = f"{core.peer_name} is gone, and the disk did not take that ({machine.refusal})"
            core.fence(f"{why}: promote one of the two")


def _may_replace(core: Core, word: Word) -> bool:
    """Whether a peer that this node parted with has all that was acknowledged, and may serve."""
    in_sync = word.state.condition is Condition.INSYNC and word.state.generation == core.state.generation
    return in_sync and word.able and not word.storing


def _lost(core: Core) -> str:
    if core.contact.peer.deaf:
        return f"{core.peer_name} has stopped hearing this node"
    return f"{core.peer_name} is silent, and the witness does not answer"


def _paired(core: Core, now_ns: int, word: Word | None) -> None:
    """PRIM without its stream, or without its peer: what it has acknowledged is on both, and nothing more is."""
    if word is None:
        _parted(core, now_ns)
        return
    if core.asks_since_ns is None and _without_stream(core, now_ns, word):
        core.asks_since_ns = now_ns
    if agreed(core, word):
        core.go_alone(now_ns, f"{core.peer_name} is outdated")


def _parted(core: Core, now_ns: int) -> None:
    """The peer is silent, on every network."""
    last = core.contact.peer.state
    may_take_over = last is not None and last.role is Role.SECOND
    if may_take_over and not core.contact.heard_to_the_end():
        core.fence(f"{core.peer_name} may have stopped hearing this node before it fell silent")
    elif core.contact.witnessed():
        core.go_alone(now_ns, f"{core.peer_name} is silent")


def _without_stream(core: Core, now_ns: int, word: Word) -> bool:
    volume = core.machine.volume
    if core.ending is not None and core.ending.handover and not volume.mounted:
        return False  # it has ended it by itself: the peer is about to have the place
    if word.role in (Role.STOP, Role.WAIT) or (volume.stream is None and not core.fresh):
        return True
    return not volume.in_sync and now_ns - core.since_ns >= core.settings.handover_ns


def agreed(core: Core, word: Word) -> bool:
    """Whether the peer will not serve before it has heard from us that it may: it has durably no data that it would
    serve with, or yields; it does not ask the same of us, and it said so after it had heard that it is asked. An older
    word would not do: it might have come to be in sync since."""
    if core.asks_since_ns is None or word.serves or word.asks:
        return False
    outdated = not (word.storing or word.state.may_serve)
    return (outdated or word.yields) and core.contact.confirmed_since(core.asks_since_ns)


def _alone(core: Core, word: Word | None) -> None:
    """In sync again, PRIM. The one that leads stores it first: until it has, its peer stays outdated, and so there is
    never one that would go on alone at once and another that may take over.

    A crash before it is stored: this node goes on alone. A crash after: both wait for each other, and this one leads.
    """
    if word is not None and _paired_here(core):

        def then(stored_ns: int) -> None:
            if core.role is Role.ALONE:
                core.become(stored_ns, Role.PRIM, f"in sync with {core.peer_name}")

        leader = core.state
        core.machine.store(type(leader)(leader.generation, leader.history, Condition.INSYNC, served=True), then)


# -- what to do --------------------------------------------------------------------------------------------------------


def work(core: Core, now_ns: int) -> None:
    machine, volume = core.machine, core.machine.volume
    if volume.fault and core.role is Role.ALONE and now_ns - volume.fault_ns >= core.settings.retry_ns:
        machine.replace_volume("tried again")
    if volume.idle and not machine.replacing and machine.writing is None:
        _steer(core, now_ns)
    if volume.ready and volume.mounted:
        machine.take_address()
        if machine.application is Application.OFF and now_ns >= core.next_try_ns:
            machine.start_application()
        elif machine.health.given_up:
            machine.stop_application(force=True)


def _steer(core: Core, now_ns: int) -> None:
    """The next order for a volume that has none."""
    machine, volume = core.machine, core.machine.volume
    word = core.contact.word(now_ns)
    if not volume.mounted:
        machine.order(Serve())
    elif core.role is Role.ALONE and not (volume.alone or _paired_here(core)):
        machine.order(GoAlone())
    elif core.role is Role.PRIM and volume.held and volume.stream is not None:
        machine.order(Cut())  # a hand-over was taken back
    elif core.role is Role.ALONE and volume.stream is not None and core.everything and not _compares_all(volume.stream):
        machine.order(Cut())
    elif volume.stream is None and word is not None and _follows(core, word) and (core.fresh or volume.alone):
        _lead(core, word)


def _paired_here(core: Core) -> bool:
    """Whether the volume acknowledges with the peer, in this generation; a stream of an earlier one is to end."""
    volume = core.machine.volume
    return volume.in_sync and volume.generation == core.state.generation


def _compares_all(stream: object) -> bool:
    return isinstance(stream, Lead) and stream.resync == "everything"


def _follows(core: Core, word: Word) -> bool:
    return word.role is Role.SECOND and word.follows == core.state.generation and not core.mismatch(word)


def _lead(core: Core, word: Word) -> None:
    """A peer that went apart, or whose past is not known, is compared as a whole: the journals do not say enough."""
    apart = relation(core.state, word.state) is Relation.APART
    known = not apart and word.state.generation.number > 0
    generation = [core.state.generation.number, core.state.generation.node]
    keep = must_keep(word, core.word())
    core.machine.order(Lead(generation, "journal" if known and not core.everything else "everything", keep))
    core.fresh = core.everything = False


# -- what operators want -----------------------------------------------------------------------------------------------


def compare_anew(core: Core) -> None:
    """A pair in sync first parts: the peer is outdated before its data is touched."""
    core.everything = True
    if core.role is Role.PRIM:
        core.machine.order(Cut())


def verify(core: Core) -> None:
    core.machine.order(Verify())
