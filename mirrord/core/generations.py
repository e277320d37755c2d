"""Generations: by which two nodes know, without looking at a file, whose data is newer, and whether both went apart.

A generation begins when a node serves without its peer: from then on it has what the peer has not. Both remember the
generations that theirs has come from. If one's generation is among the other's earlier ones, it is behind; if neither
is, both have served apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto

HISTORY_MAX = 32
"""Earlier generations that are remembered. Who has missed more than these is taken for one that went apart."""


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """Named by a number greater than any that its node knew, and by the node that began it."""

    number: int
    node: int

    def __str__(self) -> str:
        return f"{self.number}.{self.node}"


NONE = Generation(0, 0)
"""Of a node that has never been part of a mirror."""


class Condition(StrEnum):
    """What a node knows of its own data. The values are what people and programs are told."""

    BLANK = "blank"
    """Nothing: what is in its directories has never been part of the mirror."""
    INSYNC = "insync"
    """All that was acknowledged in this generation is here. The peer may have begun a newer one since."""
    ALONE = "alone"
    """All that was acknowledged is here, and nowhere else."""
    OUTDATED = "outdated"
    """Something is missing, or may be."""


@dataclass(frozen=True, slots=True)
class State:
    """What survives a power failure. It is on disk before anything is done because of it."""

    generation: Generation = NONE
    history: tuple[Generation, ...] = ()
    """Earlier ones that this one has come from, the newest first."""
    condition: Condition = Condition.BLANK
    served: bool = False
    """It was the last to serve, as far as it knows."""

    @property
    def may_serve(self) -> bool:
        """Whether it may come to serve without an operator's word."""
        return self.condition in (Condition.INSYNC, Condition.ALONE)

    def alone(self, node: int, newest_known: int) -> State:
        """The state of a node that begins a generation: it is about to serve without its peer."""
        generation = Generation(max(self.generation.number, newest_known) + 1, node)
        earlier = self.history if self.generation == NONE else (self.generation, *self.history)
        return State(generation, earlier[:HISTORY_MAX], Condition.ALONE, served=True)

    def insync_with(self, leader: State) -> State:
        """The state of a node that has all that `leader` has."""
        return State(leader.generation, leader.history, Condition.INSYNC, served=False)

    def outdated(self) -> State:
        return replace(self, condition=Condition.OUTDATED, served=False)


class Relation(Enum):
    """How one's generation stands to the other's."""

    SAME = auto()
    AHEAD = auto()
    """The other has something missing, and we know all that it knows."""
    BEHIND = auto()
    APART = auto()
    """Both have what the other has not."""


def relation(own: State, other: State) -> Relation:
    """How `own` stands to `other`."""
    if own.generation == other.generation:
        return Relation.SAME
    if own.generation == NONE or own.generation in other.history:
        return Relation.BEHIND
    if other.generation == NONE or other.generation in own.history:
        return Relation.AHEAD
    return Relation.APART
