"""No step of a resync takes long, however large a folder or a file is: live changes wait for each of them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from mirrord.core.zones import Index, ZoneSet, group_of, zone
from mirrord.volume.link.records import PAYLOAD_BYTES_MAX, Kind, Record
from mirrord.volume.resync.content import HOLE_BYTES, FileComparison
from mirrord.volume.resync.names import PART_ENTRIES, Listing
from mirrord.volume.resync.records import (
    FIRST,
    HOLE,
    LAST,
    LENGTH,
    Candidate,
    Outcome,
    pack_blocks,
    pack_looked_at,
    unpack_candidates,
)
from mirrord.volume.resync.rest import GONE_EACH
from mirrord.volume.resync.walk import walk
from tests.mirror.resyncing import Link, Node, Primary, differences, resync

FILES = 300
TIB = 1 << 40
MIB = 1 << 20


def filled(node: Node) -> Primary:
    primary = Primary(node)
    primary.mkdir("many")
    for number in range(FILES):
        primary.create(f"many/{number}", b"text")
    return primary


def test_a_walk_stops_within_a_large_folder(tmp_path: Path) -> None:
    for number in range(FILES):
        (tmp_path / f"{number}").touch()
    fd = os.open(tmp_path, os.O_RDONLY)
    longest = length = 0
    for found in walk(fd, lambda _: True):
        length = 0 if found is None else length + 1
        longest = max(longest, length)
    os.close(fd)
    assert longest < FILES // 4


def test_what_is_new_is_said_part_by_part(nodes: tuple[Node, Node]) -> None:
    primary = filled(nodes[0])
    link = Link(primary, nodes[1])
    told: list[int] = []
    answered = link.answers[Kind.LISTED]

    def listed(record: Record) -> None:
        told.append(len(Outcome.unpack(bytes(record.payload)).new_files))
        answered(record)

    link.answers[Kind.LISTED] = listed
    link.run()
    link.settle()
    link.close()
    assert sum(told) == FILES
    assert max(told) < FILES // 4
    assert differences(primary, nodes[1]) == []
    primary.close()


def test_large_attributes_make_more_parts(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # ext4 has no room for large ones
        for number in range(PART_ENTRIES):
            path = Path(folder) / f"{number}"
            path.touch()
            os.setxattr(path, "trusted.large", os.urandom(60_000))
        listing = Listing(0, 1, os.open(folder, os.O_RDONLY), 0)
        parts = [(record, len(listing.take_met())) for record in listing.parts()]
        listing.close()
    assert sum(count for _, count in parts) == PART_ENTRIES
    assert all(len(record.payload) < PAYLOAD_BYTES_MAX for record, _ in parts)
    assert [record.flags for record, _ in parts] == [FIRST, *[0] * (len(parts) - 2), LAST]


def test_few_parts_of_a_listing_are_on_their_way(nodes: tuple[Node, Node]) -> None:
    primary = filled(nodes[0])
    link = Link(primary, nodes[1])
    most = 0
    while not link.in_sync:
        while link.work(1):
            pass
        most = max(most, sum(record.kind == Kind.LISTING for record in link.outward))
        link.threads.run_one()
        while link.carry_out() or link.answer():
            pass
        for node in nodes:
            node.run_posted()
    link.close()
    primary.close()
    assert 1 < most < 5


def shrunk(nodes: tuple[Node, Node]) -> tuple[Primary, Link]:
    """A folder has been emptied while the peer was away, and the peer has dealt with the first step of that."""
    primary = filled(nodes[0])
    resync(primary, nodes[1])
    for number in range(FILES):
        primary.remove(f"many/{number}")
    link = Link(primary, nodes[1])
    there = nodes[1].tree_path / "many"
    while len(os.listdir(there)) == FILES:
        link.threads.run_one()
        link.work(1)
        _ = link.answer() or link.carry_out()
        for node in nodes:
            node.run_posted()
    assert len(os.listdir(there)) == FILES - GONE_EACH
    return primary, link


def test_names_that_come_back_while_the_rest_goes(nodes: tuple[Node, Node]) -> None:
    primary, link = shrunk(nodes)
    primary.create("source", b"moved")
    for number in range(0, FILES, 4):
        primary.create(f"many/{number}", b"made anew")
        primary.link_to("source", f"many/{number + 1}")
        primary.create(f"{number}", b"moved there")
        primary.rename(f"{number}", f"many/{number + 2}")
    link.run()
    link.settle()
    link.close()
    assert differences(primary, nodes[1]) == []
    primary.close()


def test_a_folder_goes_before_all_that_was_in_it(nodes: tuple[Node, Node]) -> None:
    primary, link = shrunk(nodes)
    primary.remove("many")
    link.run()
    link.settle()
    link.close()
    assert differences(primary, nodes[1]) == []
    assert link.failures == []
    primary.close()


def test_a_link_that_breaks_while_the_rest_goes(nodes: tuple[Node, Node]) -> None:
    primary, link = shrunk(nodes)
    link.close()
    resync(primary, nodes[1])
    assert differences(primary, nodes[1]) == []
    primary.close()


@pytest.mark.parametrize("chunks", [None, {0, 500_000}])
def test_a_large_sparse_file_is_a_matter_of_its_extents(tmp_path: Path, chunks: set[int] | None) -> None:
    path = tmp_path / "sparse"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.truncate(fd, 4 * TIB)
    for number in range(4):
        os.pwrite(fd, b"data", number * TIB)
    comparison = FileComparison(0, 7, fd, chunks, memoryview(bytearray(1 << 16)))
    asked: list[Record] = []
    for question in comparison.questions():
        if question is not None:
            asked.append(question)
        if question is None or not question.flags & HOLE:
            offset, flags, length = asked[-1].offset, asked[-1].flags, LENGTH.unpack(asked[-1].payload[:8])[0]
            payload = pack_looked_at([], length) if flags & HOLE else pack_blocks([])
            comparison.answered(Record(Kind.COMPARED, 0, 7, offset, flags, payload))
    comparison.close()
    assert len(asked) < 20


def test_zeros_in_a_large_hole_are_read_bit_by_bit(nodes: tuple[Node, Node]) -> None:
    """The peer says how far it has come; what is not zero goes, wherever it is."""
    primary = Primary(nodes[0])
    primary.create("sparse", b"x")
    primary.truncate("sparse", 8 * HOLE_BYTES)
    resync(primary, nodes[1])
    there = nodes[1].tree_path / "sparse"
    status = there.stat()
    with there.open("r+b") as file:
        file.seek(MIB)
        file.write(bytes(3 * HOLE_BYTES))
        file.write(b"behind its back")
    os.utime(there, ns=(status.st_atime_ns, status.st_mtime_ns))
    resync(primary, nodes[1], everything=True)
    assert differences(primary, nodes[1]) == []
    primary.close()


def test_a_candidate_of_which_everything_may_differ_takes_little_to_say() -> None:
    whole = Index(ZoneSet(groups={group_of(zone(7))}))
    assert whole.chunks(7, 4 * TIB) is None
    wanted = [Candidate(b"large", folder=False, chunks=None), Candidate(b"small", folder=False, chunks=(1, 2))]
    packed = b"".join(candidate.pack() for candidate in wanted)
    assert list(unpack_candidates(packed)) == wanted
    assert len(packed) < 100
