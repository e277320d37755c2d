"""To take much from a file goes in steps, between which others are served; both ends take the same ones."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mirrord.volume.fuse.shrinking import STEP_BYTES
from mirrord.volume.link.records import LENGTH, Kind, Record
from tests.mirror.resyncing import Link, Node, Primary, differences, resync

MIB = 1 << 20
LARGE = 96 * MIB
UNALIGNED = 12_345
PUNCH, KEEP_SIZE = 2, 1


@pytest.fixture
def linked(nodes: tuple[Node, Node]) -> Iterator[Link]:
    """In sync; "large" is there, and full."""
    primary = Primary(nodes[0])
    primary.create("large", b"x" * LARGE)
    link = Link(primary, nodes[1])
    link.run()
    yield link
    link.settle()
    assert differences(primary, nodes[1]) == []
    link.close()
    primary.close()


def of_kind(link: Link, kind: Kind) -> list[Record]:
    return [record for record in link.outward if record.kind == kind]


@pytest.mark.parametrize("size", [0, UNALIGNED])
def test_a_truncation(linked: Link, size: int) -> None:
    linked.primary.truncate("large", size)
    sizes = [record.offset for record in of_kind(linked, Kind.TRUNCATE)]
    assert sizes[-1] == size
    assert len(sizes) == LARGE // STEP_BYTES
    assert all(0 < before - after <= STEP_BYTES + 65_536 for before, after in zip([LARGE, *sizes], sizes, strict=False))


def test_a_truncation_that_takes_little_from_much(linked: Link) -> None:
    linked.primary.truncate("large", LARGE - 10 * MIB)
    assert len(of_kind(linked, Kind.TRUNCATE)) == 1


def test_a_truncation_of_a_hole(linked: Link) -> None:
    linked.primary.truncate("large", 1 << 43)
    linked.primary.truncate("large", 0)
    # It grows; the hole goes with the first step; and then as many as without.
    assert len(of_kind(linked, Kind.TRUNCATE)) <= 2 + LARGE // STEP_BYTES


@pytest.mark.parametrize(("offset", "length"), [(0, LARGE), (UNALIGNED, LARGE - 2 * UNALIGNED), (4096, LARGE * 4)])
def test_a_punch(linked: Link, offset: int, length: int) -> None:
    primary = linked.primary
    primary.allocate("large", PUNCH | KEEP_SIZE, offset, length)
    punches = [(record.offset, LENGTH.unpack(record.payload)[0]) for record in of_kind(linked, Kind.ALLOCATE)]
    assert punches[-1] == (offset, length)
    assert len(punches) >= LARGE // STEP_BYTES - 1
    assert all(part <= STEP_BYTES for _, part in punches[:-1])
    content = (primary.node.tree_path / "large").read_bytes()
    end = min(offset + length, LARGE)
    assert content[offset:end].count(0) == end - offset
    assert content[:offset].count(0) < max(offset, 1)


def test_others_are_served_in_between(linked: Link) -> None:
    """What waits for the same requests is carried out before the truncation has ended."""
    primary = linked.primary
    primary.create("other", b"text")
    node = primary.find("large")
    steps: list[int] = []
    retry = primary.replicator.retry

    def in_between() -> None:
        steps.append(os.stat(primary.node.tree_path / "large").st_size)
        if len(steps) == 2:
            primary.replicator.change(primary.capture, Record(Kind.TIMES, 0, node, 0, 0, bytes(24)))
        retry()

    primary.replicator.retry = in_between  # type: ignore[method-assign]
    primary.truncate("large", 0)
    kinds = [record.kind for record in linked.outward]
    assert Kind.TIMES in kinds[kinds.index(Kind.TRUNCATE) : -1 - kinds[::-1].index(Kind.TRUNCATE)]
    assert len(steps) == LARGE // STEP_BYTES - 1


@pytest.mark.parametrize("path", ["large", "folder/large"])
def test_the_peer_shortens_a_file_by_a_thread(nodes: tuple[Node, Node], path: str) -> None:
    """In a resync: what is too long there goes with the file's attributes, or with its folder's listing."""
    winner = Primary(nodes[0])
    winner.mkdir("folder")
    winner.create(path, b"short")
    resync(winner, nodes[1])
    loser = Primary(nodes[1])
    loser.allocate(path, 0, 0, LARGE)
    loser.close()
    link = Link(winner, nodes[1])
    held = False
    while not link.in_sync:
        link.work(1)
        link.carry_out()
        held = held or link._held
        link.threads.run_one()
        while link.answer():
            pass
        for node in nodes:
            node.run_posted()
    assert held
    link.settle()
    assert differences(winner, nodes[1]) == []
    link.close()
    winner.close()
