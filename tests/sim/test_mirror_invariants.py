"""Some hundred hostile runs of a mirror. More, or others, by environment:

MIRRORD_SIM_SEEDS=20000 MIRRORD_SIM_FIRST=100000 ./tests/run tests/sim/test_mirror_invariants.py -n 2
"""

from __future__ import annotations

import os

import pytest

from tests.sim.mirror_hostile_run import hostile_mirror, hostile_mirrors

FIRST = int(os.environ.get("MIRRORD_SIM_FIRST", "0"))
SEEDS = int(os.environ.get("MIRRORD_SIM_SEEDS", "300"))
CHUNK = 50

CHUNKS = [range(first, min(first + CHUNK, FIRST + SEEDS)) for first in range(FIRST, FIRST + SEEDS, CHUNK)]


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"seeds-{seeds.start}-to-{seeds.stop - 1}")
def test_a_hostile_world_breaks_no_invariant(seeds: range) -> None:
    hostile_mirrors(seeds)


def test_a_seed_replays_exactly() -> None:
    assert hostile_mirror(7).log == hostile_mirror(7).log


def test_the_runs_are_worth_their_name() -> None:
    """They come to know every way to serve, and both fences."""
    told = "\n".join(line for seed in range(60) for line in hostile_mirror(seed).log)
    ways = ["WAIT -> ALONE", "SECOND -> ALONE", "PRIM -> ALONE", "SECOND -> PRIM", "PRIM -> SECOND", "ALONE -> PRIM"]
    fences = ["stood still", "stopped hearing", "the disk did not take that"]
    for what in [*ways, *fences, "promoted by", "serves on:", "the other node may do better"]:
        assert what in told, what
