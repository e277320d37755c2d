"""PostgreSQL on a mirror: failovers and swaps under load lose no committed transaction, and the database is whole.

MIRROR_FAILOVERS says how many (20 for the long form).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from rich.console import Console
from rich.table import Table

from lab import mirror_bank, mirror_postgresql, mirror_takeover
from lab.mirror import NODES, MirrorLab, example
from lab.mirror_bank import Bank
from lab.mirror_demonstration import Pgbench
from lab.mirror_postgresql import ADDRESS, DATA
from lab.mirror_takeover import Takeover
from tests.lab.mirror_faults import (
    Fault,
    freeze_node,
    freeze_volume,
    kill_mirrord,
    kill_processes,
    kill_volume,
    power_off,
    thaw,
    wait_served,
)
from tests.lab.mirrors import other, restore, wait_equal
from tests.lab.test_topology import name

pytestmark = pytest.mark.needs_root

FAILOVERS = int(os.environ.get("MIRROR_FAILOVERS", "3"))
WAIT_S_MAX = 10.0
"""Suspicion, or the silence after which a volume is killed, and much room: the table says what it really took. How long
PostgreSQL recovers, or shuts down, depends on the machine and on what pgbench has done."""


def swap(lab: MirrorLab, node: str) -> None:
    lab.farmctl(node, "swap")


def kill_application(lab: MirrorLab, node: str) -> None:
    kill_processes(lab, node, b"/bin/postgres\0-D\0")


FAULTS: list[Fault] = [power_off, swap, kill_volume, kill_application, freeze_node, kill_mirrord, freeze_volume]


@pytest.fixture(scope="module")
def lab() -> Iterator[MirrorLab]:
    built = MirrorLab(name("pg"), [example("postgresql")])
    built.up(start=False)
    try:
        mirror_postgresql.make(built, "n1")
        built.start_all(data_on="n1")
        yield built
    finally:
        built.down()


def test_failovers_and_swaps_lose_no_committed_transaction(lab: MirrorLab) -> None:
    taken: list[tuple[str, Takeover]] = []
    with Bank(lab, ADDRESS) as bank, Pgbench(lab):
        bank.first_after(0.0)
        for number in range(FAILOVERS):
            fault = FAULTS[number % len(FAULTS)]
            taken.append((fault.__name__, one_failover(lab, bank, fault)))
            assert bank.lost() == set(), fault.__name__
            assert mirror_bank.imbalances(lab, ADDRESS) == [], fault.__name__
        restore(lab)
    Console(width=120).print(table(taken), f"{len(bank.committed)} transfers committed, {len(bank.lost())} lost")
    assert len(bank.committed) > 200 * FAILOVERS
    assert bank.lost() == set()


def one_failover(lab: MirrorLab, bank: Bank, fault: Fault) -> Takeover:
    """Break the node that serves, or let it hand over, and see what the clients' wait consisted of; all is well again
    at the end."""
    serving = restore(lab)
    began, began_at = time.monotonic(), time.time()
    fault(lab, serving)
    if fault is swap:
        lab.wait(other(serving), role="PRIM", readiness="ready")
    bank.first_after(max(time.monotonic(), began + mirror_takeover.ON_ITS_WAY_S))
    total_s = bank.longest_gap_s(began, time.monotonic())
    took = wait_served(lab, serving)
    thaw(lab, serving)
    takeover = mirror_takeover.measured(lab, serving, took, began_at, total_s)
    assert takeover.suspicion_s + takeover.own_s < WAIT_S_MAX, (fault.__name__, takeover)
    return takeover


def test_a_postgresql_that_was_killed_is_started_where_it_was(lab: MirrorLab) -> None:
    """Its check fails until it is there again, which is no reason to hand over."""
    serving = restore(lab)
    generation = lab.wait(serving, readiness="ready")["generation"]
    with Bank(lab, ADDRESS, first=100) as bank:
        bank.first_after(0.0)
        kill_application(lab, serving)
        bank.first_after(time.monotonic() + mirror_takeover.ON_ITS_WAY_S)
    assert lab.wait(serving, role="PRIM", readiness="ready")["generation"] == generation
    assert bank.lost() == set()


def test_both_nodes_have_the_same_whole_cluster(lab: MirrorLab) -> None:
    """amcheck compares every index with its table, pg_checksums looks at every page."""
    for _ in NODES:
        serving = lab.wait_pair()
        lab.wait(serving, readiness="ready")
        assert mirror_bank.faults(lab, ADDRESS) == [], serving
        lab.farmctl(serving, "swap")
        lab.wait(other(serving), role="PRIM", readiness="ready")
    lab.farmctl(lab.wait_pair(), "stop", "postgresql")
    wait_equal(lab, DATA)
    assert {node: mirror_postgresql.checksums_fault(lab, node) for node in NODES} == dict.fromkeys(NODES, "")


def table(taken: list[tuple[str, Takeover]]) -> Table:
    told = Table("what was done", "until a commit", "suspicion", "PostgreSQL's end", "its start", "the rest")
    for done, takeover in taken:
        times = [takeover.total_s, takeover.suspicion_s, takeover.ended_s, takeover.started_s, takeover.own_s]
        told.add_row(done, *(f"{time_s:.2f} s" for time_s in times))
    return told
