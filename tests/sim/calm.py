"""A farm that starts and converges on a network without faults: where most stories begin."""

from __future__ import annotations

from tests.sim.cluster import Cluster
from tests.sim.faults import Faults
from tests.sim.invariants import ExactlyOne, converged, epochs_rise, outsiders_are_silent

DELAY_MS_MAX = 2.0


def calm_farm(size: int, seed: int, *, started: tuple[int, ...] = (), **settings: object) -> Cluster:
    """A converged farm of `size` nodes, or of those that are `started`; I1 to I3 are watched."""
    cluster = Cluster(size, seed, Faults(delay_ms_max=DELAY_MS_MAX), **settings)
    cluster.checks = [ExactlyOne(), epochs_rise, outsiders_are_silent]
    cluster.start(*started)
    settle(cluster)
    return cluster


def settle(cluster: Cluster, within_ms: float = 2000) -> None:
    """Runs until the farm has converged, and then a little longer."""
    assert cluster.step_until(lambda: converged(cluster), within_ms), "the farm does not converge"
    cluster.run_for(200)


def owners(cluster: Cluster) -> bytes:
    """The owner of every bucket, in the view of the first node that is in one."""
    view = next(node.core.view for node in cluster.nodes.values() if node.core is not None and node.core.view)
    return view.owners
