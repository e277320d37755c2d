"""What random resyncs have found, each as small as it could be made."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path, PurePath
from unittest import mock

import pytest

from mirrord.core import zones
from mirrord.volume.journal import moved
from mirrord.volume.link.records import Kind
from tests.mirror.resyncing import Link, Node, Primary, differences, disk, resync

KIB = 1 << 10


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """Every inode is a group of zones of its own, as if they were far apart; journals are on another file system."""
    with mock.patch.object(zones, "GROUP_BITS", 0), disk(tmp_path / "disk") as trees:
        ours, theirs = (Node(trees / name, tmp_path / name) for name in ("a", "b"))
        yield ours, theirs
        ours.journal.close()
        theirs.journal.close()


def in_sync(node: Node, peer: Node, *paths: str) -> Primary:
    """Serves a node with these files, which are at the peer; nothing is marked, and no name known."""
    primary = Primary(node)
    for folder in sorted({str(folder) for path in paths for folder in PurePath(path).parents} - {"."}):
        primary.mkdir(folder)
    for number, path in enumerate(paths):
        primary.create(path, bytes([number + 1]) * 10 * KIB)
    resync(primary, peer)
    forget_what_was_changed(node, peer)
    primary.forget_all()
    return primary


def forget_what_was_changed(*nodes: Node) -> None:
    """As two checkpoints do."""
    for node in nodes:
        node.journal.clear(node.journal.base)
        node.journal.moved[0] = moved.Moved()
        node.run_posted()


def end(primary: Primary, peer: Node, link: Link) -> None:
    """The link is in sync, and both sides are equal."""
    link.run()
    link.settle()
    link.close()
    assert differences(primary, peer) == []
    primary.close()


def test_a_pipe_that_has_the_number_of_a_file_is_not_opened(nodes: tuple[Node, Node]) -> None:
    primary = in_sync(*nodes, "file")
    link = Link(primary, nodes[1])
    primary.write("file", b"to be compared")
    node = primary.find("file")
    primary.remove("file")
    primary.make("pipe", stat.S_IFIFO | 0o600)
    assert primary.find("pipe") == node
    end(primary, nodes[1], link)


def test_what_is_kept_may_be_on_another_file_system(nodes: tuple[Node, Node]) -> None:
    primary = in_sync(*nodes, "file")
    loser = Primary(nodes[1])
    loser.write("file", b"of the loser")
    loser.close()
    link = resync(primary, nodes[1], keep=True)
    assert link.kept == 1
    assert differences(primary, nodes[1]) == []
    primary.close()


def test_names_of_one_file_stay_so_though_the_kernel_forgets_it(nodes: tuple[Node, Node]) -> None:
    primary = in_sync(*nodes, "one/x", "two/x", "two/deep/x")
    primary.create("one/file", b"text")
    primary.link_to("one/file", "two/deep/file")
    link = Link(primary, nodes[1], everything=True)
    while not link.in_sync:
        for path in ("one/file", "two/deep/file"):
            primary.chmod(path, 0o600)
            primary.forget_all()
        link.work(1)
        link.threads.run_one()
        while link.carry_out() or link.answer():
            pass
        for node in nodes:
            node.run_posted()
    end(primary, nodes[1], link)


def test_other_names_of_what_the_peer_has_are_left_alone(nodes: tuple[Node, Node]) -> None:
    primary = in_sync(*nodes, "one/file", "two/x")
    primary.link_to("one/file", "two/file")
    resync(primary, nodes[1])
    forget_what_was_changed(*nodes)
    primary.remove("one/file")
    primary.create("one/file", b"another file")
    resync(primary, nodes[1])
    assert differences(primary, nodes[1]) == []
    primary.close()


def listings(link: Link, until: int) -> set[int]:
    """Small steps, until this folder's listing is answered; all that were listed."""
    listed: set[int] = set()
    while until not in listed:
        link.work(1)
        listed |= {record.node for record in link.outward if record.kind == Kind.LISTING}
        link.threads.run_one()
        while link.carry_out() or link.answer():
            pass
        link.primary.node.run_posted()
        link.secondary.run_posted()
    return listed


def test_a_folder_is_moved_into_one_that_the_peer_has_inside_of_it_yet(nodes: tuple[Node, Node]) -> None:
    primary = in_sync(*nodes, "over/middle/inner/x", "a/b/c/d/late/x")
    link = Link(primary, nodes[1], everything=True)
    assert primary.find("a/b/c/d/late") not in listings(link, until=primary.find("over/middle/inner"))
    primary.chmod("over/middle/inner", 0o700)  # so the peer knows it, wherever it is
    primary.rename("over/middle", "a/b/c/d/late/middle")
    primary.rename("over", "a/b/c/d/late/middle/inner/over")
    end(primary, nodes[1], link)


@pytest.mark.parametrize("kind", [stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK])
def test_an_empty_thing_in_the_place_of_one_that_has_two_names(nodes: tuple[Node, Node], kind: int) -> None:
    """The peer has another one in one of its names, and nothing was ever written to it, which could have marked it."""
    primary = in_sync(*nodes, "one/x", "two/x")
    primary.make("one/thing", kind | 0o644)
    primary.link_to("one/thing", "two/thing")
    resync(primary, nodes[1])
    forget_what_was_changed(*nodes)
    other = Primary(nodes[1])
    other.remove("one/thing")
    other.make("one/thing", kind | 0o644)
    other.close()
    resync(primary, nodes[1])
    assert differences(primary, nodes[1]) == []
    primary.close()


def test_an_open_file_without_its_known_name_gets_another_one(nodes: tuple[Node, Node]) -> None:
    """The peer has to find it by a name that it has."""
    primary = in_sync(*nodes, "one")
    primary.link_to("one", "two")
    resync(primary, nodes[1])
    forget_what_was_changed(*nodes)
    primary.forget_all()
    link = Link(primary, nodes[1])
    link.run()
    node = primary.open("one")
    primary.remove("one")
    primary.name_it(node, "three")
    primary.release(node)
    end(primary, nodes[1], link)


def test_an_open_file_that_lost_its_known_name_before_the_link(nodes: tuple[Node, Node]) -> None:
    primary = in_sync(*nodes, "one")
    primary.link_to("one", "two")
    resync(primary, nodes[1])
    forget_what_was_changed(*nodes)
    primary.forget_all()
    node = primary.open("one")
    primary.remove("one")
    link = Link(primary, nodes[1])
    link.run()
    assert node in primary.tree.bound, "the next change would look through the whole tree"
    primary.write_to(node, b"through the open file")
    primary.release(node)
    end(primary, nodes[1], link)


def test_what_only_a_resync_has_told_the_peer_of_is_forgotten_after_it(nodes: tuple[Node, Node]) -> None:
    primary = in_sync(*nodes, "one/file", "two/x")
    primary.link_to("one/file", "two/file")
    primary.forget_all()
    link = Link(primary, nodes[1], everything=True)
    link.run()
    assert primary.tree.bound <= primary.tree.nodes.keys()
    link.settle()
    assert link.tree.nodes.keys() <= primary.tree.bound
    end(primary, nodes[1], link)


def test_a_folder_leaves_one_of_which_the_peer_has_not_said_yet_that_it_is_new(nodes: tuple[Node, Node]) -> None:
    """Only the answer to the folder's listing says that the peer has made it, and that nothing is in it there."""
    primary = in_sync(*nodes, "one/x", "two/x")
    primary.mkdir("one/new")
    primary.mkdir("one/new/inner")
    primary.create("one/new/inner/file", b"text")
    forget_what_was_changed(nodes[0])  # as if it were in another group of inodes than its folder
    nodes[0].journal.mark(0, [zones.zone(primary.find("one"))])
    primary.node.run_posted()
    link = Link(primary, nodes[1])
    listed = primary.find("one")
    while not any(record.kind == Kind.LISTING and record.node == listed for record in link.outward):
        link.threads.run_one()
        _ = link.answer() or link.carry_out()
        link.work(1)
        for node in nodes:
            node.run_posted()
    primary.rename("one/new", "two/new")
    primary.chmod("two/new/inner/file", 0o600)
    end(primary, nodes[1], link)


def test_a_file_whose_folder_is_gone_and_has_its_number_taken_by_a_file(nodes: tuple[Node, Node]) -> None:
    """The file that was in it is gone as well, and nothing is waited for."""
    primary = in_sync(*nodes, "one/x", "two/x")
    link = Link(primary, nodes[1], everything=True)
    part = link.resync._passes[0]  # type: ignore[union-attr]
    folder, file = primary.find("one"), primary.find("one/x")
    part._names.meet(file, primary.tree.node(file).handle)
    part._names.places[file] = folder, b"x"
    primary.remove("one/x")
    primary.remove("one")
    primary.create("file", b"text")
    assert primary.find("file") == folder
    part._plan.compare(file)
    end(primary, nodes[1], link)


class _Unplugged(Primary):
    """Its link breaks while the last times are told."""

    def settle_times(self) -> None:
        if self.link is not None:
            self.link.close()


def test_a_link_that_breaks_while_times_settle(nodes: tuple[Node, Node]) -> None:
    primary = _Unplugged(nodes[0])
    primary.create("file", b"text")
    link = Link(primary, nodes[1])
    while primary.link is link:
        _ = link.carry_out(), link.answer()
        link.threads.run_one()
        primary.node.run_posted()
        nodes[1].run_posted()
        link.work(100_000)
    assert not link.in_sync
    primary.close()
