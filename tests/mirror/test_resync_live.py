"""Resyncs of random trees, changed on both sides, under live changes, cut off at random moments and begun again.

`python -m tests.mirror.test_resync_live FIRST END [xfs]` runs these seeds, on ext4 or XFS, and prints those that fail.
"""

from __future__ import annotations

import faulthandler
import os
import random
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest

from mirrord.core import zones
from mirrord.volume.journal.checkpoint import INTERVAL_S
from tests.mirror.kernel import EXCHANGE
from tests.mirror.resyncing import Clock, Link, Node, Primary, differences, disk

FOUND = [
    6, 7, 10, 11, 24, 50, 58, 127, 223, 229, 324, 412, 1105, 1117, 2714, 2721, 20143, 26077, 60072, 60083, 60117, 62101,
]  # fmt: skip
"""These have found something, each something else."""
SEEDS = [*FOUND, *range(int(os.environ.get("RESYNC_SEEDS", "0")))]
NAMES = ["a", "b", "c", "d", "e"]
NOREPLACE, WHITEOUT = 1, 4
OPEN_MAX = 3
PATIENCE_S = 60
"""With one seed."""
FOLDERS = 100
"""The more of so many there are, the more likely are some to go."""
NS = 1_000_000_000


class Applications:
    """Random operations on random names; those that make no sense fail as they would."""

    def __init__(self, primary: Primary, chance: random.Random) -> None:
        self.primary = primary
        self.chance = chance
        self._open: list[int] = []

    def act(self) -> None:
        operations: list[Callable[[], None]] = [
            self._write, self._write, self._create, self._create, self._mkdir, self._mkdir, self._rename, self._rename,
            self._remove, self._remove, self._truncate, self._link, self._link, self._chmod, self._chown, self._stamp,
            self._allocate, self._make, self._attribute, self._hold, self._write_to_held, self._release, self._unnamed,
        ]  # fmt: skip
        with suppress(OSError):
            self.chance.choice(operations)()
            if self.chance.random() < len(self._folders()) / FOLDERS:
                self._remove_all(self._path())
        if self.chance.random() < 0.1:
            self.primary.shrink(self.chance)
        if self.chance.random() < 0.02:
            self.primary.forget_all()
        if self.chance.random() < 0.1:
            self.primary.settle_times()

    def _path(self) -> str:
        """Something that is there, mostly."""
        above, folders, files = self.chance.choice(self._folders())
        return os.path.join(above, self.chance.choice(sorted(folders + files) or NAMES))

    def _file(self) -> str:
        above, _, files = self.chance.choice([found for found in self._folders() if found[2]] or [("", [], NAMES)])
        return os.path.join(above, self.chance.choice(sorted(files)))

    def _place(self) -> str:
        """A name in a folder that is there; it may be taken."""
        above, _, _ = self.chance.choice(self._folders())
        return os.path.join(above, self.chance.choice(NAMES))

    def _folders(self) -> list[tuple[str, list[str], list[str]]]:
        root, found, waiting = self.primary.node.tree_path, [], [""]
        while waiting:
            above = waiting.pop()
            entries = sorted(os.scandir(root / above), key=lambda entry: entry.name)
            folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
            files = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
            found.append((above, folders, files))
            waiting += [os.path.join(above, name) for name in folders]
        return found

    def _content(self) -> bytes:
        return self.chance.randbytes(self.chance.choice([1, 5000, 70_000, 300_000]))

    def _offset(self) -> int:
        return self.chance.choice([0, 1000, 65_536, 4_194_300, 9_000_000])

    def _size(self) -> int:
        return self.chance.choice([0, 100, 70_000, 5_000_000])

    def _write(self) -> None:
        self.primary.write(self._file(), self._content(), self._offset())

    def _create(self) -> None:
        self.primary.create(self._place(), self._content())

    def _mkdir(self) -> None:
        self.primary.mkdir(self._place())

    def _rename(self) -> None:
        target = self.chance.choice([self._place, self._path])()
        self.primary.rename(self._path(), target, self.chance.choice([0, 0, 0, EXCHANGE, EXCHANGE, NOREPLACE]))

    def _remove(self) -> None:
        self.primary.remove(self._path())

    def _remove_all(self, path: str) -> None:
        root = self.primary.node.tree_path
        if (root / path).is_dir() and not (root / path).is_symlink():
            for name in sorted(os.listdir(root / path)):
                self._remove_all(os.path.join(path, name))
        self.primary.remove(path)

    def _truncate(self) -> None:
        self.primary.truncate(self._file(), self._size())

    def _link(self) -> None:
        self.primary.link_to(self._file(), self._place())

    def _chmod(self) -> None:
        self.primary.chmod(self._path(), self.chance.randrange(0o10000))

    def _chown(self) -> None:
        self.primary.chown(self._path(), self.chance.randrange(3), self.chance.randrange(3))

    def _stamp(self) -> None:
        self.primary.stamp(self._path(), self.chance.choice([1, 2]) * NS)

    def _allocate(self) -> None:
        keep_size, punch, zero = 1, 2, 16
        mode = self.chance.choice([0, keep_size, keep_size | punch, zero])
        self.primary.allocate(self._file(), mode, self._offset(), 200_000)

    def _make(self) -> None:
        mode = self.chance.choice([0o120777, 0o010644, 0o020600, 0o140600])
        self.primary.make(self._place(), mode, self.chance.choice([b"here", b"there"]), self.chance.choice([259, 261]))

    def _attribute(self) -> None:
        if self.chance.random() < 0.3:
            self.primary.removexattr(self._path(), b"user.note")
        else:
            self.primary.setxattr(self._path(), b"user.note", self._content()[:2000])

    def _hold(self) -> None:
        self._keep(self.primary.open(self._file()))

    def _write_to_held(self) -> None:
        if self._open:
            self.primary.write_to(self.chance.choice(self._open), self._content(), self._offset())

    def _release(self) -> None:
        if self._open:
            self.primary.release(self._open.pop(self.chance.randrange(len(self._open))))

    def _unnamed(self) -> None:
        node = self.primary.open_unnamed(self._place().rpartition("/")[0])
        self._keep(node)
        self.primary.write_to(node, self._content(), self._offset())
        self.primary.name_it(node, self._place())

    def _keep(self, node: int) -> None:
        self._open.append(node)
        if len(self._open) > OPEN_MAX:
            self.primary.release(self._open.pop(0))


def act_alone(node: Node, chance: random.Random, count: int) -> None:
    primary = Primary(node)
    applications = Applications(primary, chance)
    for _ in range(count):
        applications.act()
    primary.close()


def one_life(primary: Primary, secondary: Node, applications: Applications, *, keep: bool) -> bool:
    """A link that carries live changes, and is cut off maybe; whether it got in sync."""
    chance, clock = applications.chance, Clock()
    link = Link(primary, secondary, keep=keep, clock=clock)
    try:
        for _ in range(chance.choice([40, 400, 4000])):
            link.step(chance)
            if chance.random() < 0.15:
                applications.act()
            if chance.random() < 0.01:
                clock.now_ns += INTERVAL_S * NS  # a checkpoint is due
            if link.in_sync:
                break
        else:
            if chance.random() < 0.5:
                return False
            link.run()
        for _ in range(20):
            applications.act()
            link.step(chance)
        link.settle()
        return True
    finally:
        link.close()


def many_lives(folder: Path, seed: int, kind: str) -> None:
    """Two nodes, each of which serves twice. Small trees have few groups of inodes: with odd seeds each inode is one of
    its own, so that what was not changed is not looked at either."""
    chance = random.Random(seed)
    group_bits = zones.GROUP_BITS * (seed % 2 == 0)
    with mock.patch.object(zones, "GROUP_BITS", group_bits), disk(folder / "disk", kind) as trees:
        nodes = [Node(trees / name, folder / name) for name in ("a", "b")]
        for life in range(4):
            for node in nodes:
                act_alone(node, chance, chance.choice([0, 5, 60]))
            primary = Primary(nodes[0])
            applications = Applications(primary, chance)
            keep = chance.random() < 0.3
            try:
                while not one_life(primary, nodes[1], applications, keep=keep):
                    for _ in range(chance.choice([0, 10])):
                        applications.act()
                    if chance.random() < 0.3:
                        nodes[1].restart()
                found = differences(primary, nodes[1])
                assert found == [], f"seed {seed}, life {life}: {found}"
            finally:
                primary.close()
            nodes.reverse()
            if chance.random() < 0.3:
                nodes[0].restart()
        for node in nodes:
            node.journal.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_in_the_end_whatever_happened(tmp_path: Path, seed: int) -> None:
    many_lives(tmp_path, seed, "ext4")


@pytest.mark.parametrize("seed", FOUND[:4])
def test_the_same_on_xfs(tmp_path: Path, seed: int) -> None:
    many_lives(tmp_path, seed, "xfs")


def main(first: int, end: int, kind: str = "ext4") -> None:
    for seed in range(first, end):
        if seed % 100 == 0:
            print(f"seed {seed}", flush=True)
        faulthandler.dump_traceback_later(PATIENCE_S)  # where it hangs, if it does
        with tempfile.TemporaryDirectory(dir="/dev/shm", ignore_cleanup_errors=True) as folder:
            try:
                many_lives(Path(folder), seed, kind)
            except Exception:
                print(f"seed {seed} fails:", flush=True)
                traceback.print_exc()
    print(f"seeds {first} to {end} done", flush=True)


if __name__ == "__main__":
    os.umask(0)
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
