"""SECOND: the node that follows; and the rest that every node keeps to that does not serve."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farmd.core.settings import MS
from mirrord.core.contest import Part, must_keep
from mirrord.core.events import TookOver
from mirrord.core.generations import Condition, Generation
from mirrord.core.standing import SERVING, Role, Word
from mirrord.orders import Cover, Cut, Follow

if TYPE_CHECKING:
    from mirrord.core.role import Core


# -- what to be --------------------------------------------------------------------------------------------------------


def decide(core: Core, now_ns: int) -> None:
    word = core.contact.word(now_ns)
    if core.machine.writing is not None:
        _unstored(core, now_ns, word)
    elif not core.wanted and not _still_handing(core, now_ns, word):
        core.become(now_ns, Role.STOP, "it is to stop")
    elif core.machine.volume.opened is None:
        core.become(now_ns, Role.WAIT, "its volume is not open")
    elif core.machine.volume.fault:
        core.become(now_ns, Role.WAIT, core.machine.volume.fault)
    elif word is None:
        _parted(core, now_ns)
    elif why := core.mismatch(word):
        core.become(now_ns, Role.WAIT, why)
    else:
        _with_peer(core, now_ns, word)


def _unstored(core: Core, now_ns: int, word: Word | None) -> None:
    """What the disk refuses to take: that this node takes over, or is in sync."""
    machine = core.machine
    if machine.refusal and machine.begins and (word is not None or not core.wanted):
        core.become(now_ns, Role.WAIT, f"{core.peer_name} is heard again" if core.wanted else "it is to stop")
    elif word is not None and word.asks and core.verdict(word).part is Part.FOLLOW:
        obey(core)


def _with_peer(core: Core, now_ns: int, word: Word) -> None:
    part = core.verdict(word).part
    if word.role in SERVING:
        core.handed, core.counted = None, False
    if core.contact.hears(now_ns) and _is_handed_over(core, word):
        _take_over_in_peace(core, now_ns, word)
    elif part is Part.FOLLOW and core.state.may_serve and (word.asks or word.role is Role.ALONE):
        obey(core)
    elif _in_sync(core, word):
        _store_in_sync(core, word)
    elif word.role not in SERVING and not _still_handing(core, now_ns, word):
        core.become(now_ns, Role.WAIT, f"{core.peer_name} does not serve")
    elif word.role in SERVING and part is not Part.FOLLOW:
        core.become(now_ns, Role.WAIT, f"{core.peer_name} has older data")


def obey(core: Core) -> None:
    """The peer is about to serve without us. Not before this is on disk does it hear so.

    A crash before: nothing was said, the peer waits. A crash after: this node waits for its peer, whatever that does.
    What the disk has just refused to take gives way to it.
    """
    machine = core.machine
    if core.asks_since_ns is not None:
        return
    if machine.refused_now and machine.writing is not None and machine.writing.may_serve:
        machine.store_instead(core.state.outdated() if core.state.may_serve else core.state)
    elif machine.writing is None and core.state.may_serve:
        machine.store(core.state.outdated(), lambda stored_ns: None)


def _in_sync(core: Core, word: Word) -> bool:
    """Whether to be in sync durably: the one that leads was so first, and does not ask for the contrary."""
    volume = core.machine.volume
    return (
        not core.state.may_serve
        and volume.in_sync
        and word.role is Role.PRIM
        and not word.asks
        and not word.storing
        and word.state.condition is Condition.INSYNC
        and word.state.generation == volume.generation
    )


def _store_in_sync(core: Core, word: Word) -> None:
    """A crash before: this node is brought up to date again. A crash after: it knows that it has what was acknowledged,
    unless its peer has begun a newer generation since, of which it hears before it serves."""
    core.machine.store(core.state.insync_with(word.state), lambda stored_ns: None)


# -- the silence of the one that serves --------------------------------------------------------------------------------


def _parted(core: Core, now_ns: int) -> None:
    settings, contact = core.settings, core.contact
    if core.state.condition is not Condition.INSYNC:
        core.become(now_ns, Role.WAIT, f"{core.peer_name} is silent, and the data here is outdated")
    elif not contact.heard_to_the_end():
        why = f"{core.peer_name} is silent, and may have gone on alone before: promote one of the two"
        core.become(now_ns, Role.WAIT, why)
    elif contact.witnessed():
        _take_over(core, now_ns)
    elif now_ns >= contact.suspected_ns + settings.witness_wait_ns:
        why = f"{core.peer_name} is silent, and the witness does not answer: promote one of the two"
        core.become(now_ns, Role.WAIT, why)


def _take_over(core: Core, now_ns: int) -> None:
    """First the stream is cut: after that nothing of the peer is applied, so nothing more is acknowledged by it. Then
    the new generation is stored, and then this node serves.

    A crash before it is stored: this node waits for its peer. A crash after: it goes on alone when it is back.
    """
    if isolated(core):
        silence_ns = now_ns - core.contact.peer.heard_ns
        core.go_alone(now_ns, f"{core.peer_name} is silent for {silence_ns // MS} ms")
        core.machine.out.append(TookOver(silence_ns))


def isolated(core: Core) -> bool:
    """Whether nothing of the peer can be applied here any more; if not, sees to it."""
    volume = core.machine.volume
    if volume.stream is not None and volume.idle:
        core.machine.order(Cut())
    return volume.stream is None and volume.idle


# -- a hand-over -------------------------------------------------------------------------------------------------------


def _is_handed_over(core: Core, word: Word) -> bool:
    return (
        word.handed is not None
        and core.handed is None
        and core.able
        and not word.storing
        and not word.serves
        and not word.asks
        and core.state.condition is word.state.condition is Condition.INSYNC
        and core.state.generation == word.state.generation
    )


def _take_over_in_peace(core: Core, now_ns: int, word: Word) -> None:
    """The peer has ended serving and stored that. If both have the same last number, both have the same.

    A crash before it is stored: neither served last, both have everything. A crash after: this node served last. If
    the disk refuses it, both have everything all the same. But its word must be a new one, then as well: once it does
    not hear us it may go on alone.
    """
    volume = core.machine.volume
    if not volume.idle:
        return
    if not core.counted:
        core.counted = True
        core.machine.order(Cut())
    elif volume.number != word.handed:
        why = f"{core.peer_name} ended with number {word.handed}, this node has {volume.number}"
        core.become(now_ns, Role.WAIT, why)
    else:

        def then(stored_ns: int) -> None:
            if core.role is not Role.SECOND:
                return
            if not core.contact.hears(stored_ns):
                core.become(stored_ns, Role.WAIT, f"{core.peer_name} has stopped hearing this node")
                return
            core.become(stored_ns, Role.PRIM, f"{core.peer_name} hands over")
            core.fresh = True

        core.machine.store(replace(core.state, served=True), then, dispensable=True)


def _still_handing(core: Core, now_ns: int, word: Word | None) -> bool:
    """Whether this node has handed over and the peer may yet take it; or the peer has, and this node may."""
    if word is None or core.machine.volume.opened is None:
        return False
    if core.handed is None:
        return word.role is Role.SECOND and word.handed is not None and core.wanted
    return now_ns - core.since_ns < core.settings.handover_ns and word.role not in (Role.STOP, Role.WAIT)


# -- what to do --------------------------------------------------------------------------------------------------------


def work(core: Core, now_ns: int) -> None:
    """Nothing here serves, nothing changes the directories but the stream, and that only while this node follows."""
    machine, volume = core.machine, core.machine.volume
    machine.close()
    if not volume.idle or machine.replacing or volume.mounted:
        return
    wanted = _wanted_stream(core, now_ns)
    if not volume.covered:
        machine.order(Cover())
    elif _deciding(core, now_ns):
        return
    elif volume.stream is not None and not _matches(core, wanted):
        machine.order(Cut())
    elif volume.stream is None and wanted is not None:
        word = core.contact.peer.state
        assert word is not None
        machine.order(Follow([wanted.number, wanted.node], must_keep(core.word(), word)))
        core.fresh = False


def _deciding(core: Core, now_ns: int) -> bool:
    """Whether this node is about to take over: then the stream is not begun again."""
    return core.machine.writing is not None or core.counted or core.contact.word(now_ns) is None


def _wanted_stream(core: Core, now_ns: int) -> Generation | None:
    """The generation to follow: a newer one of a peer that is alone, once our outdated state is on disk; or, after a
    hand-over, our own. While in sync the stream is not begun anew: the peer decides first."""
    word = core.contact.word(now_ns)
    if core.role is not Role.SECOND or word is None:
        return None
    if word.role is Role.ALONE and not core.state.may_serve:
        return word.state.generation
    if word.role is Role.PRIM and core.fresh and word.state.generation == core.state.generation:
        return word.state.generation
    return None


def _matches(core: Core, wanted: Generation | None) -> bool:
    """Whether the stream that there is may go on."""
    volume = core.machine.volume
    if core.role is not Role.SECOND or not isinstance(volume.stream, Follow):
        return core.role is Role.SECOND and wanted is None
    return wanted is None or wanted == volume.generation
