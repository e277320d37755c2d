"""Which fsync runs in the loop: one that cannot take long, as far as anybody knows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from mirrord.volume.fuse.abi import Op
from mirrord.volume.fuse.capture import _UNSYNCED_MAX
from mirrord.volume.replication import syncing
from mirrord.volume.replication.syncing import SHORT_BYTES_MAX, Syncing
from tests.mirror.resyncing import Node, Primary


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    node = Node(tmp_path / "node")
    primary = Primary(node)
    primary.create("file", b"text")
    yield primary
    primary.close()
    node.journal.close()


def is_short(primary: Primary) -> bool:
    return primary.replicator._syncing.is_short(primary.tree, primary.find("file"))


def fsync(primary: Primary) -> None:
    """By the loop; it is answered when this returns."""
    primary._ask(Op.FSYNC, primary.find("file"), bytes(16))


def test_little_and_much_to_write(primary: Primary) -> None:
    assert is_short(primary)
    for _ in range(3):
        primary.write("file", os.urandom(SHORT_BYTES_MAX // 2))
    assert not is_short(primary)
    assert is_short(primary)  # that one has written it


def test_what_was_forgotten_takes_no_memory(primary: Primary) -> None:
    primary.write("file", b"more")
    assert primary.tree.unsynced
    primary.forget_all()
    assert not primary.tree.unsynced


def test_not_everything_is_remembered(primary: Primary) -> None:
    for number in range(_UNSYNCED_MAX + 10):
        primary.create(f"{number}", b"text")
    assert len(primary.tree.unsynced) == _UNSYNCED_MAX


def test_not_while_disks_are_slow(primary: Primary) -> None:
    with mock.patch.object(syncing, "SLOW_NS", -1):
        fsync(primary)
    assert not is_short(primary)


def test_again_when_they_are_not(primary: Primary) -> None:
    with mock.patch.object(syncing, "SLOW_NS", -1):
        fsync(primary)
    one: Syncing = primary.replicator._syncing
    with mock.patch.object(syncing, "SLOW_NS", 10**12):
        one.begin(primary.capture, primary.find("file"), 42, 0, data_only=False, alone=True, held=False)
    assert is_short(primary)
