"""Zones: arithmetic, bounds and the rule by which they are forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mirrord.core import zones
from mirrord.core.zones import AHEAD, CHUNK_BYTES, Index, Marks, ZoneSet, of_range, zone


def test_a_zone_is_4_mib_of_64_neighbouring_inodes() -> None:
    assert zone(64) == zone(127, CHUNK_BYTES - 1)
    assert zone(64) != zone(128)
    assert zone(64) != zone(64, CHUNK_BYTES)


@given(st.integers(1, 1 << 62), st.integers(0, 1 << 40), st.integers(0, 1 << 26))
def test_a_range_has_the_zones_of_its_bytes(inode: int, offset: int, size: int) -> None:
    found = list(of_range(inode, offset, size))
    ends = {zone(inode, offset), zone(inode, offset + max(size, 1) - 1)}
    assert ends <= set(found)
    assert len(found) == max(ends) - min(ends) + 1


def test_a_set_is_bounded_and_loses_nothing() -> None:
    found = ZoneSet()
    for number in range(zones.ZONES_MAX + 10):
        found.add(zone(7, number * CHUNK_BYTES))
    assert len(found) < 100
    assert zone(7) in found
    assert zone(64) not in found


def test_a_set_of_too_many_groups_is_everything() -> None:
    found = ZoneSet()
    found.mark_groups(range(zones.GROUPS_MAX + 1))
    assert found.everything
    assert zone(1 << 50) in found


def test_a_file_written_from_its_start_is_marked_ahead() -> None:
    marks = Marks()
    marks.durable.add(zone(7))
    assert marks.covers([zone(7)])
    assert marks.ahead(zone(7, CHUNK_BYTES)) == range(zone(7) + 1, zone(7) + 1 + AHEAD)
    assert len(marks.ahead(zone(7, 5 * CHUNK_BYTES))) == 1


def test_the_index_says_the_chunks_of_a_file() -> None:
    index = Index(ZoneSet({zone(7), zone(7, 2 * CHUNK_BYTES), zone(7, 9 * CHUNK_BYTES)}))
    assert index.chunks(8, 5 * CHUNK_BYTES) == [0, 2]
    assert 8 in index
    assert 64 not in index
