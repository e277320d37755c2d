"""Zones: a set never loses what was put in, and a journal never forgets what a crash may have left different."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mirrord.core import zones
from mirrord.core.zones import CHUNK_BYTES, GROUP_AT, RANGE_ZONES_MAX, Index, Marks, Zone, ZoneSet, of_range, zone

FEW = 6
"""So many zones, and so many groups, are remembered here, so that each limit is met."""

inodes = st.integers(1, 64 * 10)
offsets = st.one_of(st.integers(0, 5 * CHUNK_BYTES), st.integers(0, 1 << 50))
places = st.builds(zone, inodes, st.integers(0, 12).map(lambda chunk: chunk * CHUNK_BYTES))
groups = st.builds(lambda inode: zone(inode, GROUP_AT), inodes)
marks = st.one_of(places, places, places, groups)


@pytest.fixture(autouse=True, scope="module")
def _few() -> Iterator[None]:
    with patch.object(zones, "ZONES_MAX", FEW), patch.object(zones, "GROUPS_MAX", FEW):
        yield


def set_of(content: list[Zone]) -> ZoneSet:
    made = ZoneSet()
    for at in content:
        made.add(at)
    return made


@given(st.lists(st.lists(marks, max_size=30), max_size=4))
def test_a_set_has_all_that_was_put_in_and_stays_small(parts: list[list[Zone]]) -> None:
    together = ZoneSet()
    for part in parts:
        one = set_of(part)
        copy = one.copy()
        together.update(one)
        assert one == copy
        assert len(together) <= 2 * FEW
    for at in (at for part in parts for at in part):
        assert at in together
    assert bool(together) == any(parts)


@given(inodes, offsets, st.integers(1, 1 << 45), st.integers(0))
def test_every_byte_of_a_range_is_in_its_zones(inode: int, offset: int, size: int, pick: int) -> None:
    found = set_of(list(of_range(inode, offset, size)))
    assert zone(inode, offset + pick % size) in found
    assert zone(inode, offset + size - 1) in found
    assert len(list(of_range(inode, offset, size))) <= RANGE_ZONES_MAX


@given(st.lists(marks, max_size=20), inodes, st.integers(0, 14 * CHUNK_BYTES))
def test_the_index_finds_what_is_in_the_set(content: list[Zone], inode: int, size: int) -> None:
    found = set_of(content)
    index = Index(found)
    count = -(-size // CHUNK_BYTES)
    chunks = index.chunks(inode, size)
    if chunks is None:
        chunks = list(range(count))
    assert chunks == [number for number in range(count) if zone(inode, number * CHUNK_BYTES) in found]
    if chunks or zone(inode) in found:
        assert inode in index


class Journal(RuleBasedStateMachine):
    """A journal, and what may differ from the peer's disk if both crash now.

    What is changed is on neither disk for sure before a checkpoint that was begun later has ended; and what nobody has
    compared yet is not before it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.marks = Marks()
        self.changed: set[Zone] = set()
        self.before_the_cut: set[Zone] = set()
        self.uncompared: set[Zone] = set()
        self.cutting = False

    @rule(wanted=st.lists(places, min_size=1, max_size=5))
    def change(self, wanted: list[Zone]) -> None:
        """As the replicator does: only what is marked is changed."""
        if not self.marks.covers(wanted):
            for first in wanted:
                for at in self.marks.ahead(first):
                    self.marks.durable.add(at)
            assert self.marks.covers(wanted)
        self.changed |= set(wanted)

    @rule(wanted=st.lists(marks, min_size=1, max_size=5))
    def cannot_be_sent(self, wanted: list[Zone]) -> None:
        for at in wanted:
            self.marks.durable.add(at)
        self.uncompared |= set(wanted)

    @rule()
    def cut(self) -> None:
        if not self.cutting:
            self.cutting = True
            self.marks.cut()
            self.before_the_cut, self.changed = self.changed, set()

    @rule()
    def forget(self) -> None:
        if self.cutting:
            self.cutting = False
            self.marks.forget(set_of(sorted(self.uncompared)))
            self.before_the_cut = set()

    @rule()
    def compare(self) -> None:
        self.uncompared = set()

    @invariant()
    def nothing_is_forgotten(self) -> None:
        for at in self.changed | self.before_the_cut | self.uncompared:
            assert at in self.marks.durable

    @invariant()
    def it_stays_small(self) -> None:
        assert len(self.marks.durable) <= 2 * FEW


TestJournal = Journal.TestCase
TestJournal.settings = settings(max_examples=40, deadline=None)
