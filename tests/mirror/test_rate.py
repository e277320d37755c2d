"""The limit of a resync's rate (`resync_rate_mb_s`), between real volumes and by the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.waiting import until
from mirrord.orders import Follow, InSync, Lead, Progress, Rate
from tests.mirror.volumes import Pair, pair

RATE_BYTES_S = 5_000_000
TREE_BYTES = 3 * RATE_BYTES_S


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Pair]:
    """The first one serves files that the second one has not."""
    with pair(tmp_path, rate_bytes_s=RATE_BYTES_S) as both:
        both.alone()
        for number in range(3):
            (both.first.data / str(number)).write_bytes(os.urandom(TREE_BYTES // 3))
        yield both


def sent(both: Pair) -> int:
    """Bytes, as the resync has told them last."""
    return max((report.sent_bytes for report in both.first.reports if isinstance(report, Progress)), default=0)


def test_a_resync_keeps_its_rate(both: Pair) -> None:
    began = time.monotonic()
    both.link()
    took_s = time.monotonic() - began
    assert sent(both) >= TREE_BYTES
    assert sent(both) / took_s == pytest.approx(RATE_BYTES_S, rel=0.2)


def test_another_rate_holds_from_now_on(both: Pair) -> None:
    began = time.monotonic()
    both.second.obey(Follow([1, 1]))
    both.first.obey(Lead([1, 1], "journal"))
    until(lambda: sent(both) > 0, "something to be sent")
    both.first.obey(Rate(0))
    both.first.wait(InSync)
    assert time.monotonic() - began < 0.7 * TREE_BYTES / RATE_BYTES_S
