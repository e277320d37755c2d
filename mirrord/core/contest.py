"""Which of two nodes in contact leads, from what each says of itself. Both come to the same answer, each from its side.

In their order: who is ahead leads, whatever the other does. Of two with the same generation, who has all of it; then
who serves, who is able, who served last. Of two that went apart, who serves; then who is not outdated; then the higher
generation. Then the preferred node, and then the one with the lower number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from mirrord.core.generations import NONE, Condition, Relation, relation
from mirrord.core.settings import Settings
from mirrord.core.standing import SERVING, Word


class Part(Enum):
    LEAD = auto()
    FOLLOW = auto()
    NEITHER = auto()
    """An operator must say whose data counts."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A node's part, and if it is neither's, why."""

    part: Part
    why: str = ""


LEAD, FOLLOW = Verdict(Part.LEAD), Verdict(Part.FOLLOW)


def verdict(settings: Settings, own: Word, other: Word) -> Verdict:
    """What `own` is to do towards `other`."""
    match relation(own.state, other.state):
        case Relation.BEHIND:
            return FOLLOW if _counts(other) else _unknown("the newer data of the peer is outdated, too")
        case Relation.AHEAD:
            return LEAD if _counts(own) else _unknown("the data here is newer than the peer's, but outdated")
        case Relation.SAME if own.state.generation == NONE:
            return _first(settings, own, other)
        case Relation.SAME:
            return _better(settings, _rank(own), _rank(other))
        case Relation.APART:
            if not _counts(own) and not _counts(other):
                return _unknown("both sides are outdated, each in its own way")
            return _better(settings, _rank_apart(own), _rank_apart(other))


def must_keep(follower: Word, leader: Word) -> bool:
    """Whether the follower may have what nobody else has: it went apart, or its files are from before the mirror."""
    apart = relation(follower.state, leader.state) is Relation.APART
    return apart or (follower.state.generation == NONE and not follower.empty)


def _counts(word: Word) -> bool:
    return word.state.may_serve


def _unknown(why: str) -> Verdict:
    return Verdict(Part.NEITHER, f"{why}: promote the node whose data is right")


def _first(settings: Settings, own: Word, other: Word) -> Verdict:
    """Neither has ever been part of the mirror."""
    blank = own.state.condition is other.state.condition is Condition.BLANK
    if blank and own.empty and other.empty:
        return _better(settings, (), ())
    return _unknown("neither side has been part of this mirror before, and not both are empty")


def _rank(word: Word) -> tuple[bool, ...]:
    """Two outdated ones of the same generation: both were told that the other goes on alone, and neither did."""
    return (_counts(word), word.role in SERVING, word.able, word.state.served)


def _rank_apart(word: Word) -> tuple[bool | int, ...]:
    return (word.role in SERVING, _counts(word), word.state.generation.number)


def _better(settings: Settings, own: tuple[bool | int, ...], other: tuple[bool | int, ...]) -> Verdict:
    if own == other:
        first = settings.prefer if settings.prefer is not None else min(settings.node, settings.peer)
        return LEAD if first == settings.node else FOLLOW
    return LEAD if own > other else FOLLOW
