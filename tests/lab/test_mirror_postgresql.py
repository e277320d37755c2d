"""PostgreSQL on a mirror: failovers and swaps under load lose no committed transaction, and the database is whole.

MIRROR_FAILOVERS says how many (20 for the long form).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from lab import mirror_bank, mirror_postgresql
from lab.mirror import MirrorLab, example
from lab.mirror_bank import Bank
from lab.mirror_demonstration import Pgbench
from lab.mirror_postgresql import ADDRESS
from tests.lab.mirrors import other, wait_equal
from tests.lab.test_topology import name

pytestmark = pytest.mark.needs_root

FAILOVERS = int(os.environ.get("MIRROR_FAILOVERS", "2"))
TAKEOVER_S_MAX = 8.0


@pytest.fixture(scope="module")
def lab() -> Iterator[MirrorLab]:
    built = MirrorLab(name("pg"), [example("postgresql")])
    built.up(start=False)
    try:
        mirror_postgresql.make(built, "n1")
        built.start_mirrors(data_on="n1")
        yield built
    finally:
        built.down()


def test_failovers_and_swaps_lose_no_committed_transaction(lab: MirrorLab) -> None:
    with Bank(lab, ADDRESS) as bank, Pgbench(lab):
        bank.first_after(0.0)
        for number in range(FAILOVERS):
            serving = lab.wait_pair()
            if number % 4 == 1:
                lab.farmctl(serving, "swap")
                lab.wait(other(serving), role="PRIM", readiness="ready")
            else:
                lab.kill(serving)
            took_s = _next_commit(bank)
            assert took_s < TAKEOVER_S_MAX
            if not lab.powered(serving):
                lab.start(serving)
        lab.wait_pair()
    assert len(bank.committed) > 200 * FAILOVERS
    assert bank.lost() == set()
    assert mirror_bank.faults(lab, ADDRESS) == []


def test_both_nodes_have_the_same_cluster(lab: MirrorLab) -> None:
    lab.farmctl(lab.wait_pair(), "stop", "postgresql")
    wait_equal(lab, mirror_postgresql.DATA)


def _next_commit(bank: Bank) -> float:
    """How long from now until the next transfer is committed that was begun after what has just been done."""
    now_s = time.monotonic()
    return bank.first_after(now_s) - now_s
