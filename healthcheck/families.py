"""The metrics of one scrape, by family; and those that farms and mirrors have in common."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.utils import floatToGoString

CHECK_STATES = ("unknown", "passing", "failing")
SERVICE_STATES = ("stopped", "starting", "warming", "running", "releasing", "stopping", "failed")
MS_PER_S = 1000


class Families:
    """The metrics of one scrape: a family each, with the samples of all farms and mirrors."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}
        self._labels: dict[str, str] = {}

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._families.values())

    def about(self, **labels: str) -> None:
        """Whose the samples are that follow."""
        self._labels = labels

    def gauge(self, name: str, text: str, value: float, **labels: str) -> None:
        """A sample of what goes up and down."""
        family = self._families.setdefault(name, GaugeMetricFamily(name, text))
        family.add_sample(name, self._labels | labels, value)

    def state(self, name: str, text: str, value: str, known: tuple[str, ...], **labels: str) -> None:
        """A sample for each state there is: 1 for the one that holds, 0 for the others."""
        for state in dict.fromkeys((*known, value)):
            self.gauge(name, text, float(state == value), **labels, state=state)

    def counter(self, name: str, text: str, value: float, **labels: str) -> None:
        """A sample of what only grows."""
        family = self._families.setdefault(name, CounterMetricFamily(name, text))
        family.add_sample(f"{name}_total", self._labels | labels, value)

    def summary(self, name: str, text: str, count: int, total: float) -> None:
        """How often something was, and how much it was altogether."""
        family = self._families.setdefault(name, SummaryMetricFamily(name, text))
        family.add_sample(f"{name}_count", self._labels, count)
        family.add_sample(f"{name}_sum", self._labels, total)

    def histogram(self, name: str, text: str, counts: Sequence[tuple[float, int]]) -> None:
        """How often something took at most so long: each upper bound, the smallest first, and how many it adds. Nobody
        has added up what was counted, so there is no sum.
        """
        family = self._families.setdefault(name, Metric(name, text, "histogram"))
        total = 0
        for bound, count in (*counts, (math.inf, 0)):
            total += count
            upper: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
            family.add_sample(f"{name}_bucket", self._labels | {"le": upper}, total)


def supervision(families: Families, status: dict[str, Any], daemon: str) -> None:
    """The services and checks of a daemon's node."""
    for check in status["checks"]:
        about = {"check": check["name"], "kind": check["kind"]}
        families.state(f"{daemon}_check_state", "Result of a check, dampened.", check["state"], CHECK_STATES, **about)
        families.gauge(f"{daemon}_check_duration_seconds", "Of its newest try.", check["took_ms"] / MS_PER_S, **about)
    for service in status["services"]:
        about = {"service": service["name"], "kind": service["kind"]}
        families.state(f"{daemon}_service_state", "Where a service stands.", service["state"], SERVICE_STATES, **about)
        families.gauge(f"{daemon}_service_restarts", "Restarts within restart_window_s.", service["restarts"], **about)
