"""Some hundred hostile runs. More, or others, by environment:

FARMD_SIM_SEEDS=20000 FARMD_SIM_FIRST=100000 ./tests/run tests/sim/test_invariants.py -n 2
"""

from __future__ import annotations

import os

import pytest

from tests.sim.hostile_run import hostile_runs

FIRST = int(os.environ.get("FARMD_SIM_FIRST", "0"))
SEEDS = int(os.environ.get("FARMD_SIM_SEEDS", "300"))
CHUNK = 50

CHUNKS = [range(first, min(first + CHUNK, FIRST + SEEDS)) for first in range(FIRST, FIRST + SEEDS, CHUNK)]


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"seeds-{seeds.start}-to-{seeds.stop - 1}")
def test_a_hostile_world_breaks_no_invariant(seeds: range) -> None:
    hostile_runs(seeds)
