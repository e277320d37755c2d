"""What is moved while a pair is compared is compared, too: where the walk has been or where it will come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mirrord.volume.link.records import Kind, Record
from mirrord.volume.verify.follow import Onlooker
from mirrord.volume.verify.records import CONTENT
from mirrord.volume.verify.walk import Walk
from tests.mirror.kernel import EXCHANGE
from tests.mirror.resyncing import Link, Node, Primary, disk

FOLDERS = ("one", "two")


class Verifying:
    """A pair in sync, and a walk that goes on when a test says so."""

    def __init__(self, primary: Primary, peer: Node) -> None:
        self.primary = primary
        self.link = Link(primary, peer)
        self.link.run()
        self.link.settle()
        self.asked: list[int] = []
        """Folders that the peer was asked about."""
        self.walk = Walk(primary.tree, self._put, primary.settle_times)
        self.link.handlers[Kind.LOOK] = Onlooker([self.link.tree], self.link.homeward.append).look
        self.link.answers[Kind.LOOKED] = self.link.answers[Kind.COMPARED] = self.walk.take
        primary.replicator.screen = self._sees
        self._steps = self.walk.steps()

    def leaves_one(self) -> tuple[str, str]:
        """Goes on until one of the folders has been left; that one, and the other one."""
        ids = {self.primary.find(name): name for name in FOLDERS}
        while not (left := [ids[node] for node in self.asked[:-1] if node in ids]):
            self.go_on()
        return left[0], FOLDERS[1 - FOLDERS.index(left[0])]

    def found(self) -> dict[bytes, list[str]]:
        """Goes on to the end."""
        while self.go_on():
            pass
        self.link.close()
        self.primary.close()
        return self.walk.found

    def go_on(self) -> bool:
        """A step; whether there was one."""
        going_on = next(self._steps, None) is not None
        while self.link.carry_out() or self.link.answer():
            pass
        return going_on

    def _put(self, record: Record) -> None:
        if record.kind == Kind.LOOK:
            self.asked.append(record.node)
        self.link._put(record)

    def _sees(self, record: Record) -> bool:
        self.walk.sees(record)
        return True


@pytest.fixture
def verifying(tmp_path: Path) -> Iterator[Verifying]:
    """Every file's content differs, and nothing else."""
    with disk(tmp_path / "disk") as trees:
        ours, theirs = (Node(trees / name, tmp_path / name) for name in ("a", "b"))
        primary = Primary(ours)
        for folder in FOLDERS:
            primary.mkdir(folder)
            primary.mkdir(f"{folder}/inner")
            primary.create(f"{folder}/inner/deep", b"deep")
            primary.create(f"{folder}/file", b"text")
        started = Verifying(primary, theirs)
        for path in theirs.tree_path.rglob("*"):
            if path.is_file():
                status = path.stat()
                path.write_bytes(path.read_bytes().upper())
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        yield started
        ours.journal.close()
        theirs.journal.close()


def rename(primary: Primary, seen: str, unseen: str) -> None:
    primary.rename(f"{unseen}/file", f"{seen}/moved")


def rename_twice(primary: Primary, seen: str, unseen: str) -> None:
    primary.rename(f"{unseen}/file", f"{seen}/between")
    primary.rename(f"{seen}/between", f"{seen}/moved")


def rename_folder(primary: Primary, seen: str, unseen: str) -> None:
    primary.rename(f"{unseen}/inner", f"{seen}/moved")


def link_and_remove(primary: Primary, seen: str, unseen: str) -> None:
    primary.link_to(f"{unseen}/file", f"{seen}/moved")
    primary.remove(f"{unseen}/file")


def exchange(primary: Primary, seen: str, unseen: str) -> None:
    primary.rename(f"{seen}/file", f"{unseen}/file", EXCHANGE)


def by_way_of_a_new_folder(primary: Primary, seen: str, unseen: str) -> None:
    primary.mkdir("new")
    primary.rename(f"{unseen}/file", "new/moved")


Move = Callable[[Primary, str, str], None]


@pytest.mark.parametrize(
    ("move", "moved", "files"),
    [
        (rename, "{seen}/moved", 1),
        (rename_twice, "{seen}/moved", 1),
        (rename_folder, "{seen}/moved/deep", 1),
        (link_and_remove, "{seen}/moved", 1),
        (exchange, "{seen}/file", 2),  # one after the other
        (by_way_of_a_new_folder, "new/moved", 1),
    ],
)  # fmt: skip
def test_what_is_moved_to_where_the_walk_has_been_is_compared(
    verifying: Verifying, move: Move, moved: str, files: int
) -> None:
    seen, unseen = verifying.leaves_one()
    move(verifying.primary, seen, unseen)
    found = verifying.found()
    assert found[moved.format(seen=seen).encode()] == [CONTENT] * files
    assert {word for words in found.values() for word in words} == {CONTENT}


def test_it_ends_though_something_is_always_moved(verifying: Verifying) -> None:
    seen, unseen = verifying.leaves_one()
    for number in range(1000):
        verifying.primary.create(f"{unseen}/inner/{number}", b"x")
        verifying.primary.rename(f"{unseen}/inner/{number}", f"{seen}/{number}")
        verifying.primary.remove(f"{seen}/{number}")
        if not verifying.go_on():
            break
    else:
        raise AssertionError("it does not end")
    everywhere = {f"{folder}/{name}".encode() for folder in FOLDERS for name in ("file", "inner/deep")}
    assert set(verifying.found()) == everywhere
