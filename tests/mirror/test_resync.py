"""A resync makes the secondary's tree equal, and sends little for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mirror.resyncing import Link, Node, Primary, differences, resync

MIB = 1 << 20


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    a, b = Node(tmp_path / "a"), Node(tmp_path / "b")
    yield a, b
    a.journal.close()
    b.journal.close()


@pytest.fixture
def primary(nodes: tuple[Node, Node]) -> Iterator[Primary]:
    served = Primary(nodes[0])
    yield served
    served.close()


@pytest.fixture
def secondary(nodes: tuple[Node, Node]) -> Node:
    return nodes[1]


def fill(primary: Primary) -> None:
    primary.mkdir("etc")
    primary.mkdir("var")
    primary.mkdir("var/log")
    primary.create("etc/hosts", b"127.0.0.1 localhost\n")
    primary.create("var/big", os.urandom(3 * MIB))
    primary.create("var/log/empty")
    primary.link_to("etc/hosts", "var/hosts")
    primary.make("etc/link", 0o120777, b"../var/big")
    primary.make("var/pipe", 0o010640)
    primary.make("var/null", 0o020666, rdev=os.makedev(1, 3))
    primary.setxattr("etc", b"user.note", b"kept")
    primary.chmod("etc/hosts", 0o4711)


def test_an_unknown_peer_gets_everything(primary: Primary, secondary: Node) -> None:
    fill(primary)
    resync(primary, secondary)
    assert differences(primary, secondary) == []


def test_what_is_extra_or_other_at_the_peer_goes(primary: Primary, secondary: Node) -> None:
    fill(primary)
    (secondary.tree_path / "extra").mkdir()
    (secondary.tree_path / "extra/file").write_text("x")
    (secondary.tree_path / "var").write_text("a file where a folder belongs")
    (secondary.tree_path / "etc").mkdir()
    (secondary.tree_path / "etc/hosts").mkdir()
    resync(primary, secondary)
    assert differences(primary, secondary) == []


def test_nothing_changed_sends_next_to_nothing(primary: Primary, secondary: Node) -> None:
    fill(primary)
    primary.create("var/large", os.urandom(48 * MIB))
    resync(primary, secondary)
    link = resync(primary, secondary, everything=True)
    assert differences(primary, secondary) == []
    assert link.sent_bytes < 51 * MIB // 100


def test_only_what_changed_alone_is_sent(primary: Primary, secondary: Node) -> None:
    fill(primary)
    primary.create("var/large", os.urandom(32 * MIB))
    resync(primary, secondary)
    primary.write("var/large", b"one block", 9 * MIB + 5)
    primary.create("var/log/new", b"text")
    primary.remove("etc/link")
    link = resync(primary, secondary)
    assert differences(primary, secondary) == []
    assert link.sent_bytes < 100_000


def test_a_renamed_folder_costs_bytes(primary: Primary, secondary: Node) -> None:
    primary.mkdir("old")
    primary.mkdir("old/inner")
    primary.create("old/inner/big", os.urandom(16 * MIB))
    primary.create("old/one", os.urandom(2 * MIB))
    primary.create("two", os.urandom(2 * MIB))
    resync(primary, secondary)
    primary.rename("old", "new")
    primary.rename("new/inner/big", "new/bigger")
    primary.rename("new/one", "two", flags=2)
    link = resync(primary, secondary)
    assert differences(primary, secondary) == []
    assert link.sent_bytes < 20_000


def test_a_sparse_file_in_place_of_a_full_one_has_holes_there_too(primary: Primary, secondary: Node) -> None:
    primary.create("file", os.urandom(12 * MIB))
    resync(primary, secondary)
    primary.create("temporary")
    primary.truncate("temporary", 12 * MIB)
    primary.write("temporary", b"something", 11 * MIB)
    primary.rename("temporary", "file")
    resync(primary, secondary)
    assert differences(primary, secondary) == []
    assert os.stat(secondary.tree_path / "file").st_blocks * 512 < MIB


def test_zones_of_both_journals_count(nodes: tuple[Node, Node]) -> None:
    a, b = nodes
    first = Primary(a)
    fill(first)
    resync(first, b)
    first.close()
    second = Primary(b)  # serves after the first one has died
    second.write("var/big", b"written by b", MIB)
    second.create("made-by-b", b"text")
    first = Primary(a)  # what it had not told anybody
    first.write("var/big", b"written by a", 2 * MIB)
    first.create("made-by-a", b"text")
    first.close()
    link = resync(second, a)
    assert differences(second, a) == []
    assert link.sent_bytes < 300_000
    second.close()


def test_a_crash_in_the_middle_repeats_little(primary: Primary, secondary: Node) -> None:
    fill(primary)
    resync(primary, secondary)
    for number in range(8):
        primary.create(f"var/{number}", os.urandom(2 * MIB))
    link = Link(primary, secondary)
    while link.sent_bytes < 9 * MIB:
        assert link.resync is not None
        link.resync.work(1_000_000)
        link.threads.run_one()
        while link.carry_out() or link.answer():
            pass
        primary.node.run_posted()
        secondary.run_posted()
    link.close()
    again = resync(primary, secondary)
    assert differences(primary, secondary) == []
    assert again.sent_bytes < 9 * MIB
