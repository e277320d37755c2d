"""Both nodes come to the same answer, each from its side; and pasts are compared the same from either end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirrord.core.contest import Part, verdict
from mirrord.core.generations import HISTORY_MAX, Condition, Relation, State, relation
from mirrord.core.settings import Settings
from mirrord.core.standing import Role, Word
from tests.unit.mirror_words import word

OPPOSITE = {Part.LEAD: Part.FOLLOW, Part.FOLLOW: Part.LEAD, Part.NEITHER: Part.NEITHER}
MIRRORED = {
    Relation.SAME: Relation.SAME,
    Relation.AHEAD: Relation.BEHIND,
    Relation.BEHIND: Relation.AHEAD,
    Relation.APART: Relation.APART,
}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[State, State]:
    """The states of two nodes after any life: they go on alone, are brought up to date, are told to be outdated."""
    states = [State(), State()]
    for one, what in draw(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("aiod")), max_size=8)):
        other = 1 - one
        match what:
            case "a":
                newest = draw(st.sampled_from([0, states[other].generation.number]))
                states[one] = states[one].alone(one + 1, newest)
            case "i" if states[one].may_serve:
                states[other] = states[other].insync_with(states[one])
                leader = states[one]
                states[one] = State(leader.generation, leader.history, Condition.INSYNC, served=True)
            case "o" | "d":
                states[one] = states[one].outdated()
            case _:
                pass
    return states[0], states[1]


def words(state: State) -> st.SearchStrategy[Word]:
    return st.builds(
        lambda role, able, empty: word(role, state, able=able, empty=empty),
        st.sampled_from([Role.STOP, Role.WAIT, Role.SECOND, Role.PRIM, Role.ALONE]),
        st.booleans(),
        st.booleans(),
    )


@given(st.data(), pairs(), st.sampled_from([None, 1, 2]))
def test_where_one_leads_the_other_follows(
    data: st.DataObject, states: tuple[State, State], prefer: int | None
) -> None:
    first, second = data.draw(words(states[0])), data.draw(words(states[1]))
    seen_by_first = verdict(Settings(1, 2, prefer=prefer), first, second)
    seen_by_second = verdict(Settings(2, 1, prefer=prefer), second, first)
    assert seen_by_second.part is OPPOSITE[seen_by_first.part]
    assert bool(seen_by_first.why) == (seen_by_first.part is Part.NEITHER)


@given(pairs())
def test_pasts_are_compared_the_same_from_either_end(states: tuple[State, State]) -> None:
    first, second = states
    assert relation(second, first) is MIRRORED[relation(first, second)]


@given(pairs(), st.integers(0, 100))
def test_a_generation_is_new_to_everybody(states: tuple[State, State], newest: int) -> None:
    state, other = states
    begun = state.alone(1, max(newest, other.generation.number))
    assert begun.generation > max(state.generation, other.generation)
    assert begun.generation not in (*state.history, *other.history)
    assert len(begun.history) <= HISTORY_MAX
