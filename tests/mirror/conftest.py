"""What the tests of volumes share: a pair of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mirror.volumes import Pair, pair


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
