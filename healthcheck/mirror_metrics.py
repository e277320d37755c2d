"""A mirror's metrics, from its newest status. A mirror that is silent keeps only `mirrord_up 0`."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from healthcheck.families import MS_PER_S, Families, supervision
from healthcheck.health import Standing
from healthcheck.watch import Watch

ROLES = ("STOP", "WAIT", "SECOND", "PRIM", "ALONE")
READINESS = ("ready", "transient", "not-ready")
CONDITIONS = ("blank", "insync", "alone", "outdated")
POWERS = range(25)
"""Of two, in microseconds, up to 17 seconds: mirrord tells only buckets that have something, and those of a metric must
not come and go."""
US_PER_MS, US_PER_S = 1e3, 1e6


def collect(families: Families, watch: Watch) -> None:
    """The samples of one mirror."""
    health = watch.health()
    status = watch.status if watch.fresh else None
    families.about(mirror=watch.name, node=watch.status["node"] if watch.status is not None else "")
    families.gauge("mirrord_up", "Whether mirrord has spoken within its lease.", float(status is not None))
    families.gauge("mirrord_serves", "Whether clients may come here.", float(health.standing is Standing.SERVES))
    if status is not None:
        _role(families, status)
        _replication(families, status["figures"])
        _resync(families, status)
        _contact(families, status)
        supervision(families, status, "mirrord")


def _role(families: Families, status: dict[str, Any]) -> None:
    families.gauge("mirrord_info", "Version of mirrord.", 1, version=status["version"], vip_mode=status["vip_mode"])
    families.state("mirrord_role", "What the node does.", status["role"], ROLES)
    families.state("mirrord_readiness", "Whether it does what its role is for.", status["readiness"], READINESS)
    families.state("mirrord_condition", "What it knows of its own data.", status["condition"], CONDITIONS)
    families.gauge("mirrord_in_sync", "Whether all that is acknowledged is on both nodes.", float(status["in_sync"]))
    families.gauge("mirrord_generation", "Number of the data's generation, which grows when a node serves alone.",
                   int((status["generation"] or "0").partition(".")[0]))  # fmt: skip
    diverged = status["diverged"]
    families.gauge("mirrord_diverged", "Whether files of a lost side are kept here, and nobody has looked yet.",
                   float(diverged is not None))  # fmt: skip


def _replication(families: Families, figures: dict[str, Any]) -> None:
    families.gauge("mirrord_changes_per_second", "Changes to files that were answered.", figures["writes_s"])
    families.gauge("mirrord_bytes_per_second", "Bytes written by the application.", figures["bytes_s"])
    families.gauge("mirrord_lag_bytes", "Sent to the peer and not yet acknowledged.", figures["lag_bytes"])
    families.gauge("mirrord_held_changes", "Changes that wait, because the peer is lost and nothing is decided.",
                   figures["held"])  # fmt: skip
    families.gauge("mirrord_dirty_zones", "Zones that would be compared after a crash.", figures["zones"])
    counts: Counter[int] = Counter()
    for bound_ms, count in figures["latency_ms"]["histogram"].items():
        counts[round(math.log2(float(bound_ms) * US_PER_MS))] += count
    families.histogram("mirrord_change_duration_seconds", "From an application's change to its answer.",
                       [(2**power / US_PER_S, counts[power]) for power in POWERS])  # fmt: skip


def _resync(families: Families, status: dict[str, Any]) -> None:
    progress = status["progress"]
    families.gauge("mirrord_resync_running", "Whether the peer is being brought up to date.", float(bool(progress)))
    if progress is not None:
        families.gauge("mirrord_resync_done_bytes", "Compared so far.", progress["done_bytes"])
        families.gauge("mirrord_resync_total_bytes", "To be compared.", progress["total_bytes"])
        families.gauge("mirrord_resync_sent_bytes", "Sent because they differed.", progress["sent_bytes"])


def _contact(families: Families, status: dict[str, Any]) -> None:
    for network in status["peer"]["networks"]:
        if network["heard_ms_ago"] is not None:
            families.gauge("mirrord_heartbeat_age_seconds", "Since the peer's last heartbeat.",
                           network["heard_ms_ago"] / MS_PER_S, network=network["address"])  # fmt: skip
    witness = status["witness"]
    families.gauge("mirrord_witness_configured", "Whether there is a witness.", float(bool(witness["configured"])))
    if witness["answered_ms_ago"] is not None:
        families.gauge("mirrord_witness_age_seconds", "Since the last probe that it answered.",
                       witness["answered_ms_ago"] / MS_PER_S)  # fmt: skip
    if status["clocks_apart_s"] is not None:
        families.gauge("mirrord_clocks_apart_seconds", "How far the peer's clock is ahead.", status["clocks_apart_s"])
