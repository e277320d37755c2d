"""What the tests of volumes share: a pair of them, or of what is inside of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mirror.resyncing import Node, disk
from tests.mirror.volumes import Pair, pair


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The process of a volume has none; where parts of it run in this one, the tests after them shall have theirs."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """Two trees on one file system, and their journals."""
    with disk(tmp_path / "disk") as trees:
        ours, theirs = (Node(trees / name, tmp_path / name) for name in ("a", "b"))
        yield ours, theirs
        ours.journal.close()
        theirs.journal.close()


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Pair]:
    """Not linked yet."""
    with pair(tmp_path) as both:
        yield both


@pytest.fixture
def linked(both: Pair) -> Pair:
    """In sync, the first one serving."""
    both.alone()
    both.link()
    return both
