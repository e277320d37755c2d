"""The journal: what it says after a crash at any place."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path

import pytest

from mirrord.core.zones import ZoneSet, of_range, zone
from mirrord.volume.journal.journal import NO_BASE, Journal
from mirrord.volume.journal.journal_file import ROOM_BYTES

BASE = bytes(range(16))


class Desk:
    """A journal whose posted functions a test runs."""

    def __init__(self, path: Path) -> None:
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.journal = Journal(path, 2, self.posted.put)

    def run(self) -> None:
        self.posted.get(timeout=10)()

    def mark(self, tree: int, *zones: int) -> None:
        self.journal.mark(tree, zones)
        while not self.journal.covers(tree, zones):
            self.run()

    def clear(self) -> None:
        done: list[bool] = []
        self.journal.clear(BASE, lambda: done.append(True))
        while not done:
            self.run()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def cleared(path: Path) -> Desk:
    desk = Desk(path)
    desk.clear()
    return desk


def content(path: Path) -> bytes:
    return path.read_bytes().rstrip(b"\0")


def test_no_journal_means_everything(path: Path) -> None:
    journal = Desk(path).journal
    assert journal.unclean
    assert journal.base == NO_BASE
    assert journal.covers(1, [zone(123456)])
    journal.close()


def test_a_mark_counts_when_the_disk_has_it(path: Path, cleared: Desk) -> None:
    wanted = list(of_range(5000, 1 << 22, 1 << 23))
    assert not cleared.journal.covers(0, wanted)
    cleared.journal.mark(0, wanted)
    assert not cleared.journal.covers(0, wanted)
    cleared.run()
    assert cleared.journal.covers(0, wanted)
    assert not cleared.journal.covers(1, wanted)
    cleared.journal.close()
    again = Desk(path).journal
    assert again.covers(0, wanted)
    assert not again.covers(1, wanted)
    assert again.unclean
    assert again.base == BASE
    again.close()


def test_a_checkpoint_forgets_what_was_not_changed_lately(path: Path, cleared: Desk) -> None:
    journal = cleared.journal
    cleared.mark(0, zone(64))
    journal.cut()
    cleared.mark(0, zone(128))
    journal.cut()
    cleared.mark(0, zone(192))
    journal.forget([ZoneSet(), ZoneSet()])
    assert zone(64) not in journal.marks[0].durable
    assert zone(128) in journal.marks[0].durable
    journal.close()
    again = Desk(path).journal
    assert again.marks[0].durable.single == {zone(128), zone(192)}
    again.close()


def test_a_torn_end_is_no_damage(path: Path, cleared: Desk) -> None:
    cleared.mark(0, zone(64))
    sound = len(content(path))
    cleared.mark(0, zone(640))
    cleared.journal.close()
    whole = content(path)
    for end in range(sound + 1, len(whole)):
        path.write_bytes(whole[:end] + bytes(ROOM_BYTES))
        journal = Desk(path).journal
        assert not journal.distrust
        assert journal.marks[0].durable.single >= {zone(64)}
        journal.close()


def test_damage_in_the_middle_means_everything(path: Path, cleared: Desk) -> None:
    cleared.mark(0, zone(64))
    cleared.mark(0, zone(640))
    cleared.journal.close()
    whole = bytearray(path.read_bytes())
    whole[40] ^= 1
    path.write_bytes(whole)
    journal = Desk(path).journal
    assert "damaged" in journal.distrust
    assert journal.marks[1].durable.everything
    journal.close()
