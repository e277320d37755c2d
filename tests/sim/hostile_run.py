"""Hostile runs: a farm is tormented and must recover."""

from __future__ import annotations

from collections.abc import Iterable

from farmd.core.settings import MS
from tests.sim.cluster import Cluster
from tests.sim.hostility import Hostility, ordeal_for
from tests.sim.invariants import ExactlyOne, ReleasedStays, converged, epochs_rise, outsiders_are_silent

TORMENT_MS = 3000
RECOVERY_MS_MAX = 4000
REST_MS = 500
LINES_SHOWN = 40


class Violated(Exception):  # noqa: N818 - a finding, not an error of the test
    """An invariant does not hold; says how to see it again."""


def hostile_runs(seeds: Iterable[int]) -> None:
    """Raises Violated for the first seed that breaks an invariant."""
    for seed in seeds:
        _hostile_run(seed)


def _hostile_run(seed: int) -> None:
    ordeal = ordeal_for(seed)
    cluster = Cluster(ordeal.size, seed, ordeal.faults, **ordeal.settings)
    cluster.checks = [ExactlyOne(), ReleasedStays(), epochs_rise, outsiders_are_silent]
    try:
        _torment_and_rest(cluster)
    except AssertionError as broken:
        raise Violated(
            f"{broken}\n\nseed {seed}, {cluster.now / MS:.1f} ms after the start; again: "
            f"FARMD_SIM_FIRST={seed} FARMD_SIM_SEEDS=1 ./tests/run tests/sim/test_invariants.py\n"
            f"{ordeal}\n\n" + "\n".join(cluster.log[-LINES_SHOWN:])
        ) from broken


def _torment_and_rest(cluster: Cluster) -> None:
    cluster.start()
    hostility = Hostility(cluster, TORMENT_MS * MS)
    cluster.run(TORMENT_MS * MS)
    while cluster.now < hostility.over_ns:  # which moves on while somebody takes his time to leave
        cluster.run(hostility.over_ns)
    assert cluster.step_until(lambda: converged(cluster), RECOVERY_MS_MAX), "I4: the farm does not converge"
    cluster.run_for(REST_MS)
    # A view that was unsettled may be declared settled just now; that takes a few deliveries.
    assert cluster.step_until(lambda: converged(cluster), 100), "I4: the farm does not stay converged"
