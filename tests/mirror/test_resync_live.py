"""Resyncs of random trees, changed on both sides, under live changes, cut off at random moments and begun again."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.mirror.resyncing import Link, Node, Primary, differences

SEEDS = range(int(os.environ.get("RESYNC_SEEDS", "12")))
NAMES = ["a", "b", "c", "d"]


class Applications:
    """Random operations on random names; those that make no sense fail as they would."""

    def __init__(self, primary: Primary, chance: random.Random) -> None:
        self.primary = primary
        self.chance = chance

    def act(self) -> None:
        operations: list[Callable[[], None]] = [
            self._write, self._write, self._create, self._create, self._mkdir, self._rename, self._rename,
            self._remove, self._truncate, self._link, self._chmod, self._punch, self._symlink,
        ]  # fmt: skip
        with suppress(OSError):
            self.chance.choice(operations)()
        if self.chance.random() < 0.05:
            self.primary.forget_all()

    def _path(self) -> str:
        return "/".join(self.chance.choice(NAMES) for _ in range(self.chance.randint(1, 3)))

    def _content(self) -> bytes:
        return self.chance.randbytes(self.chance.choice([1, 5000, 70_000, 300_000]))

    def _write(self) -> None:
        self.primary.write(self._path(), self._content(), self.chance.choice([0, 1000, 65_536, 4_194_300, 9_000_000]))

    def _create(self) -> None:
        self.primary.create(self._path(), self._content())

    def _mkdir(self) -> None:
        self.primary.mkdir(self._path())

    def _rename(self) -> None:
        self.primary.rename(self._path(), self._path(), self.chance.choice([0, 0, 2]))

    def _remove(self) -> None:
        self.primary.remove(self._path())

    def _truncate(self) -> None:
        self.primary.truncate(self._path(), self.chance.choice([0, 100, 70_000, 5_000_000]))

    def _link(self) -> None:
        self.primary.link_to(self._path(), self._path())

    def _chmod(self) -> None:
        self.primary.chmod(self._path(), self.chance.randrange(0o1000))

    def _punch(self) -> None:
        self.primary.punch(self._path(), 65_536, 200_000)

    def _symlink(self) -> None:
        self.primary.make(self._path(), 0o120777, b"somewhere")


def act_alone(node: Node, chance: random.Random, count: int) -> None:
    primary = Primary(node)
    applications = Applications(primary, chance)
    for _ in range(count):
        applications.act()
        primary.tree.trim()
    primary.close()


def one_life(primary: Primary, secondary: Node, chance: random.Random, *, keep: bool) -> bool:
    """A link that carries live changes, and is cut off maybe; whether it got in sync."""
    applications = Applications(primary, chance)
    link = Link(primary, secondary, keep=keep)
    try:
        for _ in range(chance.choice([30, 300, 3000])):
            link.step(chance)
            if chance.random() < 0.15:
                applications.act()
            if link.in_sync:
                break
        else:
            if chance.random() < 0.5:
                return False
            link.run()
        for _ in range(20):
            applications.act()
        primary.settle_times()
        while link.carry_out():
            pass
        assert not link.failures
        return True
    finally:
        link.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_in_the_end_whatever_happened(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    nodes = [Node(tmp_path / "a"), Node(tmp_path / "b")]
    for life in range(4):
        for node in nodes:
            act_alone(node, chance, chance.choice([0, 5, 60]))
        primary = Primary(nodes[0])
        keep = chance.random() < 0.3
        while not one_life(primary, nodes[1], chance, keep=keep):
            act = Applications(primary, chance)
            for _ in range(chance.choice([0, 10])):
                act.act()
            if chance.random() < 0.3:
                nodes[1].restart()
        assert differences(primary, nodes[1]) == [], f"seed {seed}, life {life}"
        primary.close()
        nodes.reverse()
        if chance.random() < 0.3:
            nodes[0].restart()
    for node in nodes:
        node.journal.close()
