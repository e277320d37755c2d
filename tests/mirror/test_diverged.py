"""What a diverged node loses is kept first, and never silently not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mirrord.volume.resync import diverged
from mirrord.volume.resync.diverged import Keeper, KeepingError, unseen
from tests.mirror.resyncing import Node, Primary, differences, resync


def folder_of(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


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
