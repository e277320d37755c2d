"""What the tree knows of the objects of a directory, and how it finds them again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirrord.volume.files import syscalls
from mirrord.volume.files.followed_tree import FollowedTree
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import ROOT, Tree, UnknownNode
from mirrord.volume.link.records import Kind, Record


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ServedTree]:
    made = ServedTree(0, os.open(tmp_path, os.O_RDONLY), descriptors_max=4)
    yield made
    made.close()


def test_an_object_is_found_whatever_its_name_has_become(tree: ServedTree, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    node, found = tree.lookup(ROOT, b"a")
    assert (node.id, found.size) == ((tmp_path / "a").stat().st_ino, 7)
    (tmp_path / "d").mkdir()
    (tmp_path / "a").rename(tmp_path / "d" / "b")
    assert os.read(tree.descriptor(node.id), 9) == b"content"
    assert tree.attributes(node.id).size == 7


def test_an_id_is_known_until_the_last_lookup_is_forgotten(tree: ServedTree, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    node, _ = tree.lookup(ROOT, b"a")
    tree.lookup(ROOT, b"a")
    tree.forget(node.id, 1)
    tree.descriptor(node.id)
    tree.forget(node.id, 1)
    with pytest.raises(UnknownNode):
        tree.descriptor(node.id)
    with pytest.raises(UnknownNode):
        tree.attributes(12345678)


def test_a_directory_is_known_as_long_as_what_is_in_it(tree: ServedTree, tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f").touch()
    first, _ = tree.lookup(ROOT, b"d")
    second, _ = tree.lookup(first.id, b"e")
    third, _ = tree.lookup(second.id, b"f")
    tree.forget(first.id, 1)
    tree.forget(second.id, 1)
    assert tree.path_of(third) == b"d/e/f"
    tree.forget(third.id, 1)
    assert set(tree.nodes) == {ROOT}


def test_a_node_is_bound_once_after_its_directories(tree: ServedTree, tmp_path: Path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    first, _ = tree.lookup(ROOT, b"d")
    second, _ = tree.lookup(first.id, b"e")
    assert list(tree.bindings(second.id)) == [
        Record(Kind.BIND, 0, ROOT, first.id, 0, b"d"),
        Record(Kind.BIND, 0, first.id, second.id, 0, b"e"),
    ]
    assert list(tree.bindings(second.id)) == []
    tree.bound.clear()
    assert len(list(tree.bindings(second.id))) == 2


def test_the_peer_is_told_of_nodes_that_it_knows_and_that_are_gone(tree: ServedTree, tmp_path: Path) -> None:
    for name in ("bound", "unbound"):
        (tmp_path / name).touch()
    bound, _ = tree.lookup(ROOT, b"bound")
    unbound, _ = tree.lookup(ROOT, b"unbound")
    list(tree.bindings(bound.id))
    tree.forget(bound.id, 1)
    tree.forget(unbound.id, 1)
    assert tree.gone == [bound.id]
    assert bound.id not in tree.bound


def test_a_file_of_several_names_keeps_those_that_are_left(tree: ServedTree, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "a").touch()
    os.link(tmp_path / "a", tmp_path / "d" / "b")
    folder, _ = tree.lookup(ROOT, b"d")
    node, _ = tree.lookup(ROOT, b"a")
    tree.lookup(folder.id, b"b")
    victim, last = tree.victim(ROOT, b"a")
    assert (victim, last) == (node, False)
    (tmp_path / "a").unlink()
    tree.lost(node, ROOT, b"a", last=last)
    assert tree.path_of(node) == b"d/b"
    tree.moved(node, folder.id, b"b", ROOT, b"c")
    assert tree.path_of(node) == b"c"
    tree.forget(folder.id, 1)
    assert folder.id not in tree.nodes


def test_a_name_that_nobody_looked_up_is_searched_when_the_known_ones_are_gone(
    tree: ServedTree, tmp_path: Path
) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "a").touch()
    os.link(tmp_path / "a", tmp_path / "d" / "e" / "other")
    node, _ = tree.lookup(ROOT, b"a")
    _, last = tree.victim(ROOT, b"a")
    (tmp_path / "a").unlink()
    tree.lost(node, ROOT, b"a", last=last)
    assert [bytes(record.payload) for record in tree.bindings(node.id)] == [b"d", b"e", b"other"]


def test_an_orphan_stays_until_it_is_forgotten(tree: ServedTree, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    node, _ = tree.lookup(ROOT, b"a")
    _, last = tree.victim(ROOT, b"a")
    (tmp_path / "a").unlink()
    tree.lost(node, ROOT, b"a", last=last)
    assert tree.is_orphan(node.id)
    assert tree.path_of(node) is None
    for number in range(9):
        (tmp_path / f"{number}").touch()
        tree.descriptor(tree.lookup(ROOT, b"%d" % number)[0].id)
        tree.trim()
    assert os.pread(tree.descriptor(node.id), 9, 0) == b"content"
    tree.forget(node.id, 1)
    assert not tree.is_orphan(node.id)


def test_descriptors_are_bounded_and_of_the_right_kind(tree: ServedTree, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    nodes = []
    for number in range(20):
        (tmp_path / f"{number}").touch()
        nodes.append(tree.lookup(ROOT, b"%d" % number)[0].id)
        tree.descriptor(nodes[-1])
        tree.trim()
    assert len(os.listdir("/proc/self/fd")) - before <= 4
    assert all(os.pwrite(tree.descriptor(node), b"x", 0) for node in nodes)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")
    fifo, link = (tree.lookup(ROOT, name)[0].id for name in (b"fifo", b"link"))
    assert os.readlink(b"", dir_fd=tree.descriptor(link)) == b"nowhere"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(tree.descriptor(fifo), 1)  # O_PATH: nothing was opened that could wait for a writer


def test_a_file_that_may_not_be_written_can_be_read(tree: ServedTree, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    os.system(f"chattr +i {tmp_path}/a")
    try:
        node, _ = tree.lookup(ROOT, b"a")
        assert os.read(tree.descriptor(node.id), 9) == b"content"
    finally:
        os.system(f"chattr -i {tmp_path}/a")


def test_a_handle_is_of_one_file_even_if_its_number_is_used_again(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_RDONLY)
    handles = set()
    for _ in range(20):
        (tmp_path / "a").touch()
        handles.add(handle := syscalls.handle_of(root, b"a"))
        assert syscalls.generation_of(handle) == int.from_bytes(handle[8:12], "little")
        (tmp_path / "a").unlink()
        with pytest.raises(OSError, match="Stale"):
            syscalls.open_by_handle(root, handle, os.O_RDONLY)
    assert len(handles) == 20
    os.close(root)


def test_the_secondary_calls_its_objects_by_the_primarys_ids(tmp_path: Path) -> None:
    tree = Tree(0, os.open(tmp_path, os.O_RDONLY))
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    tree.bind(ROOT, b"a", 777)
    tree.write(777, memoryview(b"first"), 0)
    tree.bind(ROOT, b"b", 777)
    tree.write(777, memoryview(b"second"), 0)
    assert [(tmp_path / name).read_text() for name in "ab"] == ["first", "second"]
    tree.drop(777)
    with pytest.raises(UnknownNode):
        tree.descriptor(777)
    with pytest.raises(FileNotFoundError):
        tree.bind(ROOT, b"none", 778)
    tree.close()


def test_a_folder_that_was_read_to_its_end_is_read_from_its_beginning_by_the_next_tree(tmp_path: Path) -> None:
    """Whoever served a directory may follow next, and has to see every name in it."""
    (tmp_path / "a").touch()
    root = os.open(tmp_path, os.O_RDONLY)
    served, followed = ServedTree(0, os.dup(root)), Tree(0, os.dup(root))
    assert syscalls.getdents(served.descriptor(ROOT), 4096)
    assert not syscalls.getdents(served.descriptor(ROOT), 4096)
    assert os.listdir(followed.descriptor(ROOT)) == ["a"]
    served.close()
    followed.close()
    os.close(root)


def test_a_closed_tree_knows_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    root = os.open(tmp_path, os.O_RDONLY)
    served, followed = ServedTree(0, os.dup(root)), FollowedTree(0, os.dup(root))
    node, _ = served.lookup(ROOT, b"a")
    assert list(served.bindings(node.id))
    followed.bind(ROOT, b"a", node.id)
    served.close()
    followed.close()
    assert not any((served.nodes, served.bound, followed.nodes, followed.ids))
    os.close(root)
