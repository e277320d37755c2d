"""What Prometheus scrapes: the newest status of every farm and mirror, and farm-health itself.

A farm that is silent keeps only `farmd_up 0`: numbers that are no longer true are not told.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from healthcheck import mirror_metrics
from healthcheck.families import MS_PER_S, Families, supervision
from healthcheck.farms import Farms
from healthcheck.health import MIRROR, Standing
from healthcheck.limits import Crowd
from healthcheck.watch import FARM, Watch

MEMBER_STATES = ("joining", "up", "draining", "leaving", "left", "failed", "silent")


class FarmCollector(Collector):
    """Turns statuses into metrics, at each scrape."""

    def __init__(self, farms: Farms, crowd: Crowd) -> None:
        self._farms = farms
        self._crowd = crowd

    def collect(self) -> Iterator[Metric]:
        families = Families()
        for watch in self._farms:
            if watch.kind == MIRROR:
                mirror_metrics.collect(families, watch)
            else:
                _farm(families, watch)
        yield from families
        kinds = [watch.kind for watch in self._farms]
        yield GaugeMetricFamily("farm_health_farms", "Farms that are expected on this node.", kinds.count(FARM))
        yield GaugeMetricFamily("farm_health_mirrors", "Mirrors that are expected on this node.", kinds.count(MIRROR))
        yield GaugeMetricFamily("farm_health_connections", "Open HTTP connections.", len(self._crowd))
        yield CounterMetricFamily("farm_health_cpu_seconds", "User and system time taken.", time.process_time())
        yield GaugeMetricFamily("farm_health_resident_memory_bytes", "Resident memory.", _resident_bytes())


def application(farms: Farms, crowd: Crowd) -> Starlette:
    """/metrics as an ASGI application."""
    registry = CollectorRegistry()
    registry.register(FarmCollector(farms, crowd))

    async def scrape(request: Request) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=media_type)

    found = Starlette(routes=[Route("/metrics", scrape)])
    found.router.redirect_slashes = False
    return found


def _resident_bytes() -> int:
    """Of this process (proc(5), second field of statm). prometheus_client's own collector needs more of /proc than a
    sandbox leaves (systemd.exec(5), ProcSubset=)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _farm(families: Families, watch: Watch) -> None:
    health = watch.health()
    status = watch.status if watch.fresh else None
    families.about(farm=watch.name, node=watch.status["node"] if watch.status is not None else "")
    families.gauge("farmd_up", "Whether farmd has spoken within its lease.", float(status is not None))
    families.gauge("farmd_serves", "Whether clients may come here.", float(health.standing is Standing.SERVES))
    if status is not None:
        _node(families, status)
        _view(families, status)
        supervision(families, status, "farmd")
        for owner, packets in sorted(watch.packets.packets.items()):
            families.counter("farmd_owner_packets", "Packets accepted here, by the owner of their bucket, since "
                             "farm-health listens.", packets, owner=owner)  # fmt: skip


def _node(families: Families, status: dict[str, Any]) -> None:
    families.gauge("farmd_info", "Version of farmd, and where its filter runs.", 1,
                   version=status["version"], xdp=status["xdp"])  # fmt: skip
    families.gauge("farmd_ready", "Whether its supervision lets the node own buckets.", float(status["ready"]))
    families.gauge("farmd_degraded", "Whether it serves although something is wrong.", float(status["degraded"]))
    families.gauge("farmd_drain_announced", "Whether it gives its clients away, now or soon.",
                   float(status["drain_announced"]))  # fmt: skip
    families.gauge("farmd_lease_held", "Whether its filter may answer.", float(status["lease"] == "held"))
    for name, packets in status["counters"].items():
        families.counter("farmd_filter_packets", "Packets by what the filter made of them; the names are those of "
                         "bpf/farm.h.", packets, outcome=name)  # fmt: skip
    for reason, datagrams in status["refused"].items():
        families.counter("farmd_refused_datagrams", "Datagrams at the heartbeat port that were no evidence.",
                         datagrams, reason=reason.lower())  # fmt: skip
    takeovers = status["takeovers"]
    families.summary("farmd_takeover_duration_seconds", "Unplanned takeovers: from the last word of the failed node "
                     "until its buckets were open here.", takeovers["count"],
                     takeovers["sum_ms"] / MS_PER_S)  # fmt: skip
    if takeovers["last_ms"] is not None:
        families.gauge("farmd_takeover_last_duration_seconds", "Of the newest one.", takeovers["last_ms"] / MS_PER_S)


def _view(families: Families, status: dict[str, Any]) -> None:
    families.gauge("farmd_view_epoch", "Number of the view in force.", int(status["epoch"].partition(".")[0]))
    families.gauge("farmd_view_members", "Members of the view in force.",
                   sum(member["member"] for member in status["members"]))  # fmt: skip
    families.gauge("farmd_view_converged", "Whether all members have this view.", float(status["converged"]))
    families.gauge("farmd_coordinator", "Whether this node draws up views.", float(status["coordinator"]))
    families.gauge("farmd_moving_buckets", "Buckets with old flows at one node and a new owner.", status["moving"])
    for member in status["members"]:
        name = member["name"]
        families.gauge("farmd_owned_buckets", "Buckets by their owner.", member["buckets"], owner=name)
        families.state("farmd_member_state", "What a node is, as this one sees it.", member["status"], MEMBER_STATES,
                       member=name)  # fmt: skip
        if member["round_trip_ms"] is not None:
            families.gauge("farmd_heartbeat_round_trip_seconds", "Of heartbeats, smoothed.",
                           member["round_trip_ms"] / MS_PER_S, member=name)  # fmt: skip
