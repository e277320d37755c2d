"""Records survive the way through a stream's buffer, whatever is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrord.volume.link.records import HEADER, PAYLOAD_BYTES_MAX, Kind, Made, Record, read
from mirrord.volume.resync.listing import Entry, pack_entries, unpack_entries

names = st.binary(min_size=1, max_size=255)
numbers = st.integers(0, 2**64 - 1)
moments = st.integers(-(2**63) * 10**9, 2**63 * 10**9 - 1)
"""In ns: whatever a file system can have whose seconds have 64 bits."""
records = st.builds(
    Record,
    st.sampled_from(list(Kind)), st.integers(0, 255), numbers, numbers, st.integers(0, 2**16 - 1),
    st.binary(max_size=99), numbers,
)  # fmt: skip
mades = st.builds(
    Made,
    names, st.integers(0, 2**17 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), numbers,
    st.binary(max_size=4095), st.lists(st.tuples(names, st.binary(max_size=70000)), max_size=3).map(tuple),
    st.tuples(moments, moments),
)  # fmt: skip
entries = st.builds(
    Entry,
    names, numbers, st.integers(0, 2**17 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), numbers, moments,
    moments, numbers, st.integers(0, 2**32 - 1), st.binary(max_size=4095),
    st.lists(st.tuples(names, st.binary(max_size=70000)), max_size=3).map(tuple), st.booleans(),
)  # fmt: skip


def sent(record: Record) -> bytes:
    return record.header(record.seq) + bytes(record.payload)


@given(st.lists(records, max_size=5))
def test_records_come_out_of_a_buffer_as_they_went_in(several: list[Record]) -> None:
    buffer = memoryview(b"".join(map(sent, several)))
    at = 0
    for record in several:
        found = read(buffer, at, len(buffer))
        assert found is not None
        assert found[0]._replace(payload=bytes(found[0].payload)) == record
        at = found[1]
    assert at == len(buffer)


@given(records)
def test_a_record_that_has_not_come_whole_is_waited_for(record: Record) -> None:
    buffer = memoryview(sent(record))
    assert all(read(buffer, 0, end) is None for end in range(len(buffer)))


def test_a_header_that_cannot_be_one_is_told_before_its_payload_is_waited_for() -> None:
    header = HEADER.pack(PAYLOAD_BYTES_MAX + 1, Kind.WRITE, 0, 0, 1, 1, 0)
    with pytest.raises(ValueError, match="a payload of"):
        read(memoryview(header), 0, len(header))


@given(mades)
def test_what_is_made_is_the_same_at_the_other_end(made: Made) -> None:
    assert Made.unpack(memoryview(made.pack())) == made


@given(st.lists(entries, max_size=3))
def test_what_is_listed_is_the_same_at_the_other_end(several: list[Entry]) -> None:
    assert list(unpack_entries(pack_entries(several))) == several


def test_a_record_about_two_nodes_mentions_both() -> None:
    assert Record(Kind.RENAME, 0, 5, 7).mentions == (5, 7)
    assert Record(Kind.LINK, 0, 5, 7).mentions == (5, 7)
    assert Record(Kind.WRITE, 0, 5, 4096).mentions == (5,)
    assert Record(Kind.MAKE, 0, 5, 7).mentions == (5,)
    assert Record(Kind.BIND, 0, 5, 7).mentions == ()
