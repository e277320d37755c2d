"""A name is no proof: folders that have met their names by chance, on either side, and files with several names."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirrord.volume.journal.moved import Moved
from tests.mirror.resyncing import Link, Node, Primary, differences, resync

EXCHANGE = 2


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """In sync, with two folders that look alike but for what is in the files far below."""
    ours, theirs = Node(tmp_path / "a"), Node(tmp_path / "b")
    primary = Primary(ours)
    for number, folder in enumerate(("one", "two")):
        for path in (folder, f"{folder}/deep", f"{folder}/deep/deeper"):
            primary.mkdir(path)
        primary.create(f"{folder}/deep/deeper/file", bytes([number + 1]) * 200_000)
    resync(primary, theirs)
    primary.close()
    _forget_what_was_changed(ours)
    assert differences(ours, theirs) == []
    yield ours, theirs
    ours.journal.close()
    theirs.journal.close()


def _forget_what_was_changed(node: Node) -> None:
    """As two checkpoints do."""
    base, done = node.journal.base, []
    node.journal.clear(base, lambda: done.append(True))
    node.run_posted()
    assert done


def _exchange(node: Node) -> None:
    primary = Primary(node)
    primary.rename("one", "two", EXCHANGE)
    primary.close()


def test_folders_that_only_the_secondary_has_exchanged(nodes: tuple[Node, Node]) -> None:
    ours, theirs = nodes
    _exchange(theirs)
    primary = Primary(ours)
    resync(primary, theirs)
    primary.close()
    assert differences(ours, theirs) == []


def test_folders_that_the_primary_has_exchanged_without_a_note_of_it(nodes: tuple[Node, Node]) -> None:
    ours, theirs = nodes
    _exchange(ours)
    ours.journal.moved[0] = Moved()
    primary = Primary(ours)
    resync(primary, theirs)
    primary.close()
    assert differences(ours, theirs) == []


def test_exchanged_folders_with_a_note_cost_next_to_nothing(nodes: tuple[Node, Node]) -> None:
    ours, theirs = nodes
    _exchange(ours)
    primary = Primary(ours)
    link = resync(primary, theirs)
    primary.close()
    assert differences(ours, theirs) == []
    assert link.sent_bytes < 10_000


def test_a_removed_folder_made_anew_is_empty_on_both(nodes: tuple[Node, Node]) -> None:
    ours, theirs = nodes
    primary = Primary(ours)
    primary.remove("one/deep/deeper/file")
    for path in ("one/deep/deeper", "one/deep", "one"):
        primary.remove(path)
    for number in range(200):  # so that the new one has a number of another group
        primary.create(f"filler{number}")
    primary.mkdir("one")
    resync(primary, theirs)
    primary.close()
    assert differences(ours, theirs) == []


def test_two_names_of_one_file_become_names_of_one_file(nodes: tuple[Node, Node]) -> None:
    ours, theirs = nodes
    primary = Primary(ours)
    primary.remove("two/deep/deeper/file")
    primary.link_to("one/deep/deeper/file", "two/deep/deeper/file")
    resync(primary, theirs)
    primary.close()
    assert differences(ours, theirs) == []


def test_progress_grows_and_ends_where_everything_is_done(nodes: tuple[Node, Node]) -> None:
    ours, theirs = nodes
    primary = Primary(ours)
    primary.create("new", b"n" * 3_000_000)
    primary.write("one/deep/deeper/file", b"changed", 70_000)
    link = Link(primary, theirs)
    assert link.resync is not None
    progress = link.resync.progress
    seen = [progress()]
    while not link.in_sync:
        if link.resync is not None:
            link.resync.work(100_000)
            seen.append(progress())
        link.threads.run_one()
        _ = link.carry_out(), link.answer()
        ours.run_posted()
        theirs.run_posted()
    seen.append(progress())
    link.close()
    primary.close()
    last = seen[-1]
    # At least these two files; and what else the disk has put into the same group of inodes.
    assert last.done_bytes == last.total_bytes >= 3_200_000
    assert last.done_files == last.total_files >= 2
    assert all(one.done_bytes <= other.done_bytes for one, other in itertools.pairwise(seen))
    assert any(0 < one.done_bytes < last.done_bytes for one in seen)


def test_the_rate_is_kept(nodes: tuple[Node, Node]) -> None:
    ours, theirs = nodes
    primary = Primary(ours)
    primary.create("new", b"n" * 3_000_000)
    link = Link(primary, theirs)
    assert link.resync is not None
    link.resync.rate_bytes_s = 2_000_000
    began = time.monotonic()
    link.run()
    took = time.monotonic() - began
    link.close()
    primary.close()
    assert took > 1.2
    assert differences(ours, theirs) == []
