"""What a diverged node loses is kept first, and never silently not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lab.waiting import until
from mirrord.orders import Follow, InSync, Lead, Rate
from mirrord.volume.link.records import Kind
from mirrord.volume.resync import diverged
from mirrord.volume.resync.diverged import Keeper, KeepingError, unseen
from tests.mirror.resyncing import Link, Node, Primary, differences, disk, resync
from tests.mirror.volumes import pair

_LARGE_BYTES = 256 << 20


def folder_of(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def until_next(link: Link, kind: Kind) -> None:
    """Goes on until the next record that arrives is of this kind."""
    while not (link.outward and link.outward[0].kind == kind):
        link.threads.run_one()
        _ = link.answer() or link.carry_out()
        link.work(1)
        link.primary.node.run_posted()
        link.secondary.run_posted()


def test_files_of_the_losing_side_are_kept(tmp_path: Path) -> None:
    a, b = Node(tmp_path / "a"), Node(tmp_path / "b")
    winner = Primary(a)
    winner.create("both", b"old")
    winner.create("same", b"same")
    resync(winner, b)
    winner.write("both", b"of the winner")
    winner.create("only-here", b"not the loser's")
    loser = Primary(b)
    loser.write("both", b"of the loser, longer")
    loser.create("only-there", b"text")
    loser.close()
    link = resync(winner, b, keep=True)
    assert differences(winner, b) == []
    (folder,) = unseen(b.state)
    kept = {path.name: path.read_bytes() for path in (folder / "0").iterdir()}
    assert kept == {"both": b"of the loser, longer", "only-there": b"text"}
    assert link.kept == 2
    winner.close()
    a.journal.close()
    b.journal.close()


def test_a_folder_that_goes_meanwhile_is_put_aside_at_once_and_kept_later(tmp_path: Path) -> None:
    """A copy to another file system takes as long as the folder is large, and live changes wait for what is done before
    the removal."""
    with disk(tmp_path / "disk") as trees:
        a, b = (Node(trees / name, tmp_path / name) for name in ("a", "b"))
        winner, loser = Primary(a), Primary(b)
        winner.mkdir("folder")
        winner.create("folder/both", b"old")
        resync(winner, b)
        loser.create("folder/only-there", b"text")
        loser.close()
        link = Link(winner, b, keep=True)
        until_next(link, Kind.LISTING)
        winner.remove("folder/both")
        winner.remove("folder")
        until_next(link, Kind.FINISH)
        assert not (b.tree_path / "folder").exists()
        assert unseen(b.state) == []
        link.run()
        link.settle()
        link.close()
        assert differences(winner, b) == []
        (folder,) = unseen(b.state)
        kept = {path.name: path.read_bytes() for path in (folder / "0/folder").iterdir()}
        assert kept == {"both": b"old", "only-there": b"text"}
        winner.close()
        a.journal.close()
        b.journal.close()


def test_nothing_is_overwritten_without_room_for_its_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(b"precious")
    monkeypatch.setattr(diverged, "RESERVE_BYTES", 1 << 60)
    keeper = Keeper(tmp_path, 0)
    fd = folder_of(tmp_path / "tree")
    with pytest.raises(KeepingError, match="No space left"):
        keeper.copy(fd, b"file", b"file")
    os.close(fd)
    assert (tmp_path / "tree/file").read_bytes() == b"precious"
    assert list(keeper.folder.glob("0/*")) == []


def test_a_kept_file_shares_nothing_with_the_tree(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/one").write_bytes(b"kept")
    os.link(tmp_path / "tree/one", tmp_path / "tree/two")
    keeper = Keeper(tmp_path, 0)
    fd = folder_of(tmp_path / "tree")
    keeper.leave(fd, b"one", b"one")
    os.close(fd)
    (tmp_path / "tree/two").write_bytes(b"goes on")
    assert (keeper.folder / "0/one").read_bytes() == b"kept"


def test_nothing_is_written_to_where_a_kept_link_leads(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    tree.mkdir()
    outside.mkdir()
    (tree / "a").symlink_to(outside)
    (tree / "b").write_bytes(b"x")
    keeper = Keeper(tmp_path, 0)
    fd = folder_of(tree)
    keeper.leave(fd, b"a", b"a")
    keeper.leave(fd, b"b", b"a/b")
    os.close(fd)
    assert list(outside.iterdir()) == []
    assert keeper.files == 2


def test_a_copy_that_is_given_up_leaves_everything_where_it_was(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "one").write_bytes(b"x" * 1000)
    os.link(tree / "one", tree / "two")
    keeper = Keeper(tmp_path, 0)
    keeper.end()
    fd = folder_of(tree)
    with pytest.raises(KeepingError, match="cannot be kept"):
        keeper.leave(fd, b"one", b"one")
    with pytest.raises(KeepingError, match="cannot be kept"):
        keeper.copy(fd, b"two", b"two")
    os.close(fd)
    assert (tree / "one").read_bytes() == (tree / "two").read_bytes() == b"x" * 1000
    assert not [path for path in (keeper.folder / "0").iterdir() if not path.name.endswith(".incomplete")]


@pytest.mark.needs_root
def test_the_loop_goes_on_while_a_large_file_is_kept(tmp_path: Path) -> None:
    """The copy takes longer than the longest silence seen: the follower lives, and what is served goes on."""
    for node in (1, 2):
        (tmp_path / f"node{node}" / "data").mkdir(parents=True)
        (tmp_path / f"node{node}" / "state").mkdir()
    with (tmp_path / "node2/data/large").open("wb") as file:
        for _ in range(_LARGE_BYTES >> 20):
            file.write(bytes([1]) * (1 << 20))
    (tmp_path / "node1/data/large").write_bytes(b"of the winner")
    with pair(tmp_path) as both:
        both.alone()
        both.second.obey(Follow([1, 1], keep=True))
        since = len(both.second.reports)
        began = time.monotonic()
        both.first.obey(Lead([1, 1], "everything", keep=True))
        until(lambda: bool(unseen(tmp_path / "node2/state")), "the copy to begin", 20)
        copying = tmp_path / "node2/state/diverged"
        gaps, last = [0.0], time.monotonic()
        while not any(isinstance(each, InSync) for each in both.second.reports[since:]):
            assert time.monotonic() - began < 60
            both.second.order(Rate(0))
            number = both.second.order(Rate(0))
            until(lambda number=number: number in both.second.done, "an order to be done", 20)  # type: ignore[misc]
            gaps.append(time.monotonic() - last)
            last = time.monotonic()
        took_s = last - began
        kept = next(copying.rglob("large"))
        assert kept.stat().st_size == _LARGE_BYTES
        assert max(gaps) < took_s / 3, f"{max(gaps):.2f} s of {took_s:.2f} s without a sign of life"
        assert (both.second.data / "large").read_bytes() == b"of the winner"
