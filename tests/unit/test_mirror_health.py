"""What the health page makes of a mirror: judged, asked over HTTP, told to HAProxy, scraped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from healthcheck.health import Health, Standing, judge, together
from tests.unit import mirrors, statuses
from tests.unit.healthpage import LEASE_S, Page, daemon, page

JSON = "application/health+json"


def starting() -> dict[str, Any]:
    return mirrors.status(readiness="transient", reason="postgresql is starting")


@pytest.mark.parametrize(
    ("said", "standing", "reason"),
    [
        (mirrors.status(), Standing.SERVES, ""),
        (mirrors.alone(), Standing.SERVES, ""),
        (starting(), Standing.FAILS, "postgresql is starting"),
        (mirrors.second(), Standing.STANDS_BY, "n1 serves"),
        (mirrors.second(role="WAIT", peer=mirrors.peer("ALONE", name="n1")), Standing.STANDS_BY, "n1 serves"),
        (mirrors.waiting(), Standing.FAILS, "the data here is outdated; it waits for n1, which has newer data"),
        (mirrors.second(peer=mirrors.peer(None)), Standing.FAILS, "no node of the mirror is known to serve"),
        (mirrors.second(role="STOP", reason="an operator stopped it"), Standing.STOPPED, "an operator stopped it"),
    ],
)
def test_a_node_has_all_clients_of_a_mirror_or_none(said: dict[str, Any], standing: Standing, reason: str) -> None:
    health = judge(said)
    assert (health.standing, health.reason) == (standing, reason)
    assert health.share == (standing is Standing.SERVES)


def test_only_who_serves_alone_is_degraded() -> None:
    said = (mirrors.status(), mirrors.alone(), mirrors.second(), mirrors.waiting())
    assert [judge(one).degraded for one in said] == [False, True, False, False]


def test_a_mirror_that_the_other_node_serves_says_nothing_about_this_one() -> None:
    farm, stands_by = judge(statuses.status()), Health(Standing.STANDS_BY, "n1 serves")
    assert together([farm, stands_by]) == farm
    assert together([stands_by]).standing is Standing.STANDS_BY
    assert together([farm, judge(mirrors.waiting())]).standing is Standing.FAILS


def test_the_page_is_200_only_on_the_node_that_serves(tmp_path: Path) -> None:
    with daemon(tmp_path, "db", mirrors.status) as mirror, page(tmp_path) as asked:
        for path in ("/mirror/db", "/var/modules/db/ready.txt", "/ready"):
            answer = asked.wait(200, path)
            assert "x-envoy-degraded" not in answer.headers
        mirror.say(role="ALONE", in_sync=False)
        answer = asked.wait_for(lambda: asked.get("/mirror/db"), lambda found: "x-envoy-degraded" in found.headers)
        assert answer.status == 200
        mirror.say(role="SECOND", peer=mirrors.peer("PRIM"))
        for path in ("/mirror/db", "/var/modules/db/ready.txt", "/ready"):
            asked.wait(503, path)
        assert asked.agent() == "down #n2 serves\n"
        mirror.say()
        asked.wait(200, "/mirror/db")
        assert asked.agent() == "up ready 100%\n"


def test_farms_and_mirrors_have_pages_of_their_own(tmp_path: Path) -> None:
    with daemon(tmp_path, "db", mirrors.second), daemon(tmp_path, "web"), page(tmp_path) as asked:
        asked.wait(200, "/farm/web")
        asked.wait(503, "/mirror/db")
        assert asked.get("/farm/db").status == 404
        assert asked.get("/mirror/web").status == 404
        assert asked.get("/mirror/nothing").status == 404
        assert asked.get("/ready").status == 200


def test_a_mirror_that_falls_silent_or_was_never_there_fails(tmp_path: Path) -> None:
    settings = 'detail = true\nmirrors = ["db", "files"]\n'
    with daemon(tmp_path, "db", mirrors.status) as mirror, page(tmp_path, settings) as asked:
        asked.wait(200, "/mirror/db")
        assert asked.get("/mirror/files?verbose").text.startswith("[-]mirror files fails: mirrord cannot be asked: ")
        mirror.speaks = False
        asked.wait(503, "/mirror/db")
        assert "mirror db fails: mirrord is silent" in asked.get("/mirror/db?verbose").text


def test_details_of_a_mirror(tmp_path: Path) -> None:
    with daemon(tmp_path, "db", mirrors.resyncing), page(tmp_path, "detail = true\n") as asked:
        asked.wait(200, "/mirror/db")
        found = json.loads(asked.get("/mirror/db", accept=JSON).text)
        assert found["status"] == "warn"
        observed = {name: parts[0]["observedValue"] for name, parts in found["checks"].items()}
        assert observed == {
            "db:standing": "serves",
            "db:role": "ALONE",
            "db:generation": "7.1",
            "db:in-sync": False,
            "db:resync": 40.0,
            "db/postgresql:state": "running",
        }
        assert asked.get("/mirror/db?verbose").text == "[+]mirror db serves\nready\n"


def scraped(asked: Page) -> dict[str, Any]:
    """Each sample by its name and labels."""
    text = asked.get("/metrics", port=asked.metrics_port).text
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_of_a_mirror(tmp_path: Path) -> None:
    with daemon(tmp_path, "db", mirrors.resyncing), daemon(tmp_path, "web"), page(tmp_path) as asked:
        asked.wait(200, "/mirror/db")
        asked.wait(200, "/farm/web")
        found = scraped(asked)
    here = "mirror=db node=n1"
    assert found[f"mirrord_up {here}"] == 1
    assert [found[f"mirrord_role {here} state={role}"] for role in ("PRIM", "ALONE")] == [0, 1]
    assert found[f"mirrord_generation {here}"] == 7
    assert found[f"mirrord_in_sync {here}"] == 0
    assert found[f"mirrord_lag_bytes {here}"] == 8192
    assert found[f"mirrord_diverged {here}"] == 0
    assert found[f"mirrord_resync_done_bytes {here}"] == 3_200_000_000
    assert found["mirrord_heartbeat_age_seconds mirror=db network=10.99.0.2 node=n1"] == 0.041
    assert found[f"mirrord_witness_age_seconds {here}"] == 0.21
    assert found[f"mirrord_service_state kind=unit {here} service=postgresql state=running"] == 1
    assert found["farmd_up farm=web node=n1"] == 1
    assert "farmd_up farm=db node=n1" not in found
    assert found["farm_health_mirrors"] == found["farm_health_farms"] == 1


def test_a_latency_histogram_is_cumulative_and_has_the_same_buckets_always(tmp_path: Path) -> None:
    def bucket(bound: str) -> Any:
        return found[f"mirrord_change_duration_seconds_bucket le={bound} mirror=db node=n1"]

    with daemon(tmp_path, "db", mirrors.status) as mirror, page(tmp_path) as asked:
        asked.wait(200, "/mirror/db")
        found = scraped(asked)
        assert [bucket(bound) for bound in ("6.4e-05", "0.000128", "0.000512", "2.097152", "+Inf")] == [
            0, 900, 999, 1000, 1000
        ]  # fmt: skip
        before = found.keys()
        mirror.say(figures=mirrors.figures(latency_ms={"p50": None, "p99": None, "histogram": {}}))
        asked.wait_for(lambda: scraped(asked), lambda now: now[max(k for k in now if "le=+Inf" in k)] == 0)
        assert scraped(asked).keys() == before


def test_a_silent_mirror_keeps_one_metric(tmp_path: Path) -> None:
    with daemon(tmp_path, "db", mirrors.status) as mirror, page(tmp_path) as asked:
        asked.wait(200, "/mirror/db")
        mirror.speaks = False
        asked.wait(503, "/mirror/db")
        found = {name: value for name, value in scraped(asked).items() if name.startswith("mirrord")}
    assert found == {"mirrord_up mirror=db node=n1": 0, "mirrord_serves mirror=db node=n1": 0}
    assert LEASE_S < 1


@pytest.mark.parametrize("wrong", [{"role": None}, {"role": "SECOND", "peer": []}, {"kind": "other"}])
def test_a_mirror_of_another_version_is_not_believed(tmp_path: Path, wrong: dict[str, Any]) -> None:
    made: Callable[..., dict[str, Any]] = lambda **changes: mirrors.status(**(wrong | changes))  # noqa: E731
    with daemon(tmp_path, "db", made), page(tmp_path, 'mirrors = ["db"]\n') as asked:
        assert asked.get("/mirror/db").status == 503
