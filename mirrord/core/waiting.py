"""WAIT and STOP: the node that may not serve, or is not to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mirrord.core.contest import Part
from mirrord.core.following import obey
from mirrord.core.generations import Condition
from mirrord.core.serving import agreed
from mirrord.core.standing import SERVING, Role, Word

if TYPE_CHECKING:
    from mirrord.core.role import Core

HEARTBEATS_TO_CONTACT = 5
"""Within so many a peer that lives has proved itself."""


def decide(core: Core, now_ns: int) -> None:
    """WAIT."""
    word = core.contact.word(now_ns)
    if word is None or core.verdict(word).part is not Part.LEAD:
        core.asks_since_ns = None
    if core.machine.serves:
        return
    if core.machine.writing is not None:
        _unstored(core, word)
    elif not core.wanted:
        core.become(now_ns, Role.STOP, "it is to stop")
    elif core.machine.volume.opened is None:
        core.obstacle = core.machine.volume.refusal or "its volume is not open yet"
        obey_if_asked(core, word)
    elif core.machine.volume.fault:
        obey_if_asked(core, word)
        _try_again(core, now_ns)
    elif word is None:
        _by_itself(core, now_ns)
    else:
        _with_peer(core, now_ns, word)


def rest(core: Core, now_ns: int) -> None:
    """STOP."""
    word, machine = core.contact.word(now_ns), core.machine
    if machine.serves or (machine.writing is not None and not machine.refusal):
        return
    if core.wanted and machine.writing is None:
        core.become(now_ns, Role.WAIT, "it is to take part again")
    else:
        obey_if_asked(core, word)
        stored = machine.writing is None or bool(machine.refusal)
        if core.quitting is not None and stored and _may_go(core, now_ns, word):
            core.finish()


def _unstored(core: Core, word: Word | None) -> None:
    """What the disk refuses to take. A generation that this node wanted to begin before it waited is given up: it waits
    like one that has crashed. What was there is written anew instead, as long as that is refused it cannot serve."""
    machine = core.machine
    if word is not None and core.verdict(word).part is Part.FOLLOW and (word.asks or _serves_on(word)):
        obey(core)
    elif machine.refused_now and not core.wanted:
        machine.forgo()
    elif machine.refused_now and machine.begins and core.asks_since_ns is None and not core.promoted:
        machine.store_instead(core.state)


def _serves_on(word: Word) -> bool:
    """Whether the peer serves, and is not about to find out whether it may go on with that."""
    return word.role in SERVING and not word.storing


def _may_go(core: Core, now_ns: int, word: Word | None) -> bool:
    """Whether the peer does not need this node's word any more: it is gone, has gone on alone, or takes too long."""
    assert core.quitting is not None
    patience_ns = core.settings.handover_ns + core.settings.suspect_ns
    late = core.quitting.force or now_ns - core.unwanted_ns >= patience_ns
    needs = word is not None and (word.role in (Role.PRIM, Role.SECOND) or word.asks)
    return late or not needs


def obey_if_asked(core: Core, word: Word | None) -> None:
    if word is not None and word.asks and core.verdict(word).part is Part.FOLLOW:
        obey(core)


def _try_again(core: Core, now_ns: int) -> None:
    volume = core.machine.volume
    core.obstacle = volume.fault
    if now_ns - volume.fault_ns >= core.settings.retry_ns:
        core.machine.replace_volume("tried again")


def _by_itself(core: Core, now_ns: int) -> None:
    """What was alone goes on, once a peer that lives would have been heard. All else waits for one; so does who has
    heard that the peer serves with data that counts."""
    contact = core.contact
    soon = core.started_ns + HEARTBEATS_TO_CONTACT * core.settings.heartbeat_ns
    unheard = contact.silent(now_ns) or (contact.peer.candidate is None and now_ns >= soon)
    if core.state.condition is Condition.ALONE and unheard:
        last = contact.peer.state
        served = last is not None and last.role in SERVING and core.verdict(last).part is Part.FOLLOW
        if served and not core.promoted:
            core.obstacle = f"{core.peer_name} is not heard, and served when it was: promote one of the two"
        else:
            core.become(now_ns, Role.ALONE, f"{core.peer_name} is not heard, and is outdated")
    elif core.state.condition is Condition.BLANK:
        core.obstacle = "no data has been part of this mirror yet, and the peer is not heard"
    elif core.since_ns == core.started_ns or contact.peer.heard_ns > core.since_ns:
        known = "outdated" if not core.state.may_serve else "in sync when it was last heard"
        core.obstacle = f"{core.peer_name} is not heard, and the data here was {known}"


def _with_peer(core: Core, now_ns: int, word: Word) -> None:
    verdict = core.verdict(word)
    mismatch = core.mismatch(word)
    match verdict.part:
        case Part.FOLLOW:
            _submit(core, now_ns, word, mismatch)
        case Part.NEITHER:
            core.obstacle = verdict.why
        case Part.LEAD if core.state.condition is Condition.ALONE and not core.contact.threatens(now_ns):
            if word.serves:
                core.obstacle = f"{core.peer_name} is about to end serving with older data"
            else:
                core.become(now_ns, Role.ALONE, f"{core.peer_name} is outdated")
        case Part.LEAD if mismatch or not core.able:
            core.asks_since_ns = None
            core.obstacle = mismatch or "this node cannot serve, and the peer has older data"
        case Part.LEAD:
            core.obstacle = f"about to serve; {core.peer_name} is asked to be outdated first"
            if core.asks_since_ns is None:
                core.asks_since_ns = now_ns
            if agreed(core, word):
                core.go_alone(now_ns)


def _submit(core: Core, now_ns: int, word: Word, mismatch: str) -> None:
    """Before anything of the peer is applied, what is here is known to be outdated."""
    serving = _serves_on(word)
    core.obstacle = mismatch or f"{'about to follow' if serving else 'waits for'} {core.peer_name}"
    if core.state.may_serve and (word.asks or serving):
        obey(core)
    elif serving and not mismatch and core.state.condition is Condition.BLANK:
        core.machine.store(core.state.outdated(), lambda stored_ns: None)
    elif serving and not mismatch:
        core.become(now_ns, Role.SECOND, f"{core.peer_name} serves")


def promote(core: Core) -> None:
    """An operator says that what is here counts."""
    core.promoted = True
    core.machine.note("promoted by an operator")
    core.go_alone(core.since_ns)
