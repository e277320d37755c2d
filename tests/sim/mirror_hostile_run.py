"""Hostile runs: a mirror is tormented and must recover."""

from __future__ import annotations

from collections.abc import Iterable

from farmd.core.settings import MS
from mirrord.core.events import Promote, Start
from tests.sim.hostile_run import Violated
from tests.sim.mirror import Mirror
from tests.sim.mirror_hostility import Hostility, Ordeal, ordeal_for
from tests.sim.mirror_invariants import Invariants, at_rest, undecided

TORMENT_MS = 10_000
RESTART_MS_MAX = 4000
"""When the last node that was stopped is started again."""
RECOVERY_MS_MAX = 12_000
"""Two suspicions, the retry after a fault, a hand-over that failed, a resync, the preferred node's return."""
REST_MS = 3000
LINES_SHOWN = 60


def hostile_mirrors(seeds: Iterable[int]) -> None:
    """Raises Violated for the first seed that breaks an invariant."""
    for seed in seeds:
        hostile_mirror(seed)


def hostile_mirror(seed: int) -> Mirror:
    ordeal = ordeal_for(seed)
    mirror = Mirror(seed, ordeal.faults, networks=ordeal.networks, **ordeal.settings)
    mirror.empty = ordeal.empty
    Invariants(mirror)
    try:
        _torment_and_rest(mirror)
    except AssertionError as broken:
        raise Violated(_story(seed, ordeal, mirror, broken)) from broken
    return mirror


def _story(seed: int, ordeal: Ordeal, mirror: Mirror, broken: AssertionError) -> str:
    return (
        f"{broken}\n\nseed {seed}, {mirror.now / MS:.1f} ms after the start; again: "
        f"MIRRORD_SIM_FIRST={seed} MIRRORD_SIM_SEEDS=1 ./tests/run tests/sim/test_mirror_invariants.py\n"
        f"{ordeal}\n\n" + "\n".join(mirror.log[-LINES_SHOWN:])
    )


def _torment_and_rest(mirror: Mirror) -> None:
    mirror.start()
    Hostility(mirror, TORMENT_MS * MS)
    mirror.run((TORMENT_MS + RESTART_MS_MAX) * MS + 1)
    mirror.start()
    for id in mirror.nodes:
        mirror.order(id, Start())
    if not mirror.step_until(lambda: at_rest(mirror) or undecided(mirror), RECOVERY_MS_MAX) or undecided(mirror):
        assert undecided(mirror), "the mirror does not come to rest"
        assert not mirror.order(1, Promote(force=True)), "an operator cannot decide"
        assert mirror.step_until(lambda: at_rest(mirror), RECOVERY_MS_MAX), "the mirror does not come to rest"
    told = len(mirror.acknowledged)
    mirror.run_for(REST_MS)  # in which the preferred node may get its place back
    assert len(mirror.acknowledged) > told, "the node that serves acknowledges nothing"
    assert mirror.step_until(lambda: at_rest(mirror), 2000), "the mirror does not stay at rest"
    for node in mirror.nodes.values():
        missing = mirror.acknowledged.keys() - node.data
        # What is under way just now is at one end only, and not acknowledged.
        assert not missing, f"M2: n{node.id} has not {sorted(missing)[:5]}"
