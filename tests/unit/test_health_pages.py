"""A real farm-health, asked over HTTP and by HAProxy's protocol, while daemons come, speak, fall silent and go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from healthcheck.health import Standing
from healthcheck.watch import Watch
from lab.waiting import until
from tests.unit.healthpage import LEASE_S, FakeDaemon, Page, daemon, page
from tests.unit.loops import WAIT_S
from tests.unit.ports import tcp_ports
from tests.unit.statuses import check, member, service

NOT_READY = {"ready": False, "reason": "check page fails: status 500"}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[FakeDaemon]:
    with daemon(tmp_path) as running:
        yield running


@pytest.fixture
def shown(tmp_path: Path, web: FakeDaemon) -> Iterator[Page]:
    """The page of a node with one farm, in which all is well."""
    with page(tmp_path) as running:
        running.wait(200)
        yield running


# What is asked, and how.


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The same for many tests, in which nothing happens."""
    folder = tmp_path_factory.mktemp("calm")
    with daemon(folder), page(folder) as running:
        running.wait(200)
        yield running


@pytest.mark.parametrize("path", ["/ready", "/farm/web", "/var/modules/web/ready.txt"])
def test_a_farm_that_serves(calm: Page, path: str) -> None:
    answer = calm.get(path)
    assert (answer.status, answer.text) == (200, "ready\n")
    assert set(answer.headers) == {"date", "cache-control", "content-length", "content-type"}
    assert answer.headers["cache-control"] == "no-store"
    head = calm.get(path, "HEAD")
    assert (head.status, head.text, head.headers["content-length"]) == (200, "", "6")


@pytest.mark.parametrize(
    "path",
    ["/", "/farm", "/farm/", "/farm/web/", "/farm/nonsense", "/farm/..", "/farm/%2e%2e", "/ready/", "/Ready",
     "/metrics", "/var/modules/nonsense/ready.txt", "/var/modules/web/ready", "/farm/web%2Fx", "/farm/" + "x" * 5000],
)  # fmt: skip
def test_what_is_not_there_is_404_and_no_redirect(calm: Page, path: str) -> None:
    answer = calm.get(path)
    assert answer.status == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_405(calm: Page, method: str) -> None:
    answer = calm.get("/ready", method)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("host", ["", "10.0.0.100", "www.example.org:5480", "x" * 300])
def test_any_host_will_do(calm: Page, host: str) -> None:
    assert calm.get("/ready", Host=host).status == 200


def test_a_daemon_that_is_gone_is_not_forgotten(shown: Page, web: FakeDaemon) -> None:
    web.end()
    shown.wait(503)
    assert shown.get("/farm/web").status == 503
    assert shown.get("/live").status == 200


def test_several_farms_are_as_good_as_the_worst(shown: Page, tmp_path: Path) -> None:
    with daemon(tmp_path, "shop") as shop:
        shown.wait(200, "/farm/shop")
        shop.say(**NOT_READY)
        shown.wait(503, "/farm/shop")
        assert shown.get("/ready").status == 503
        assert shown.get("/farm/web").status == 200
        assert shown.agent().startswith("down #check page fails")


def test_a_farm_that_must_be_here_is_missed_from_the_start(tmp_path: Path) -> None:
    with page(tmp_path, 'farms = ["web"]') as shown:
        assert shown.get("/farm/web").status == 503
        assert shown.get("/farm/shop").status == 404
        with daemon(tmp_path):
            shown.wait(200, "/farm/web")


def test_a_node_without_a_farm_is_not_ready(tmp_path: Path) -> None:
    with page(tmp_path) as shown:
        assert shown.get("/ready").status == 503
        assert shown.agent() == "down #no farm or mirror runs on this node\n"


# What changes.


def test_each_change_is_seen_at_once(shown: Page, web: FakeDaemon) -> None:
    told: list[tuple[dict[str, Any], int]] = [
        ({"drain_announced": True}, 503), ({}, 200), (NOT_READY, 503), ({}, 200), ({"lease": "fenced"}, 503),
        ({}, 200), ({"stopped": True, **NOT_READY}, 503), ({}, 200),
    ]  # fmt: skip
    for changes, wanted in told:
        begin = time.monotonic()
        web.say(**changes)
        shown.wait(wanted)
        assert time.monotonic() - begin < LEASE_S


def test_a_drain_can_be_404(tmp_path: Path, web: FakeDaemon) -> None:
    with page(tmp_path, "drain_status = 404") as shown:
        shown.wait(200)
        web.say(drain_announced=True)
        assert shown.wait(404).text == "not ready\n"
        web.say(**NOT_READY)
        shown.wait(503)


def test_degraded_is_told_to_envoy(shown: Page, web: FakeDaemon) -> None:
    web.say(degraded=True, failing=["db"])
    until(lambda: shown.get("/ready").headers.get("x-envoy-degraded") == "true", "the header")
    assert shown.get("/ready").status == 200
    web.say(degraded=True, **NOT_READY)
    assert "x-envoy-degraded" not in shown.wait(503).headers


def test_a_silent_daemon_is_503_within_its_lease_and_back_with_its_first_word(shown: Page, web: FakeDaemon) -> None:
    web.speaks = False
    begin = time.monotonic()
    shown.wait(503)
    assert time.monotonic() - begin < LEASE_S + 0.2
    assert shown.agent() == "down #farmd is silent\n"
    web.speaks = True
    shown.wait(200)


def test_a_daemon_that_starts_anew_is_found_at_once(shown: Page, web: FakeDaemon, tmp_path: Path) -> None:
    web.end()
    shown.wait(503)
    with daemon(tmp_path):
        begin = time.monotonic()
        shown.wait(200)
        assert time.monotonic() - begin < 0.3


def freeze_for_three_leases(shown: Page) -> None:
    """farm-health stands still for longer than a lease."""
    os.kill(shown.process.pid, signal.SIGSTOP)
    deadline = time.monotonic() + 3 * LEASE_S
    until(lambda: time.monotonic() > deadline, "three leases to pass")


def ask_and_thaw(shown: Page) -> int:
    """The status that it answers first, to a question that waits already."""
    with socket.create_connection(("127.0.0.1", shown.port), timeout=WAIT_S) as connection:
        connection.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        os.kill(shown.process.pid, signal.SIGCONT)
        return int(connection.recv(4096).split()[1])


def test_a_page_that_was_late_reads_before_it_judges(shown: Page) -> None:
    for _ in range(5):
        freeze_for_three_leases(shown)
        assert ask_and_thaw(shown) == 200


@pytest.mark.usefixtures("web")
def test_a_watch_reads_before_it_judges_also_where_its_loop_did_not_run(tmp_path: Path) -> None:
    async def late() -> Standing:
        watch = Watch(tmp_path / "web.sock", buckets=False)
        watch.connect()
        try:
            while watch.health().standing is not Standing.SERVES:
                await asyncio.sleep(0.01)
            deadline = time.monotonic() + 2 * LEASE_S
            until(lambda: time.monotonic() > deadline, "two leases to pass")  # nothing else runs in this loop
            return watch.health().standing
        finally:
            watch.close()

    assert asyncio.run(late()) is Standing.SERVES


def test_what_a_late_page_reads_may_be_old(shown: Page, web: FakeDaemon) -> None:
    """It is the daemon's word when that counts, not when it is read."""
    os.kill(shown.process.pid, signal.SIGSTOP)
    web.say(degraded=True)
    web.speaks = False
    deadline = time.monotonic() + 2 * LEASE_S
    until(lambda: time.monotonic() > deadline, "two leases to pass")
    assert ask_and_thaw(shown) == 503


NOT_UNDERSTOOD = "farmd gives answers that cannot be understood"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello\n", NOT_UNDERSTOOD),
        (b"[]\n", NOT_UNDERSTOOD),
        (b"{}\n", NOT_UNDERSTOOD),
        (b'{"ok": true}\n', NOT_UNDERSTOOD),
        (b'{"ok": true, "alive": true}\n', NOT_UNDERSTOOD),
        (b'{"ok": true, "said_ns": 1}\n', NOT_UNDERSTOOD),
        (b'{"ok": true, "said_ns": 1, "members": [], "node": "n1"}\n', NOT_UNDERSTOOD),
        (b"[" * 100_000 + b"\n", NOT_UNDERSTOOD),
        (b"1" * 1_500_000, "farmd gives an answer without an end"),
        (b'{"ok": false, "error": "32 clients are connected already"}\n', "32 clients are connected already"),
    ],
    ids=lambda value: str(value[:30]),
)
def test_a_daemon_that_speaks_nonsense_is_not_well(tmp_path: Path, line: bytes, reason: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener, page(tmp_path) as shown:
        listener.bind(str(tmp_path / "web.sock"))
        listener.listen()
        connection, _ = listener.accept()
        with connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(line)
            until(lambda: shown.agent().startswith(f"down #{reason}"), reason)
        assert shown.get("/farm/web").status == 503


# Detail.


def test_nothing_leaks_unless_it_is_wanted(shown: Page, web: FakeDaemon) -> None:
    web.say(checks=[check("page", state="failing")], **NOT_READY)
    shown.wait(503)
    for answer in (shown.get("/ready?verbose"), shown.get("/farm/web", Accept="application/health+json")):
        assert (answer.status, answer.text) == (503, "not ready\n")
        assert set(answer.headers) == {"date", "cache-control", "content-length", "content-type"}


@pytest.fixture
def detailed(tmp_path: Path, web: FakeDaemon) -> Iterator[Page]:
    with page(tmp_path, "detail = true") as shown:
        shown.wait(200)
        yield shown


def test_detail_in_lines(detailed: Page, web: FakeDaemon) -> None:
    checks = [check("nginx", "service"), check("page", state="failing") | {"text": "status 500"}]
    web.say(checks=checks, services=[service("nginx")], **NOT_READY)
    assert detailed.wait(503, "/ready?verbose").text == (
        "[-]farm web fails: check page fails: status 500\n[+]nginx passing\n[-]page failing: status 500\nnot ready\n"
    )
    assert detailed.get("/farm/web").text == "not ready\n"


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({}, 200, "pass"),
        ({"degraded": True}, 200, "warn"),
        (NOT_READY, 503, "fail"),
        ({"stopped": True, **NOT_READY}, 503, "fail"),
        ({"drain_announced": True}, 503, "fail"),
    ],
)
def test_detail_as_a_document(detailed: Page, web: FakeDaemon, changes: dict[str, Any], status: int, word: str) -> None:
    web.say(checks=[check("page")], services=[service("nginx")], **changes)

    def document() -> dict[str, Any]:
        answer = detailed.get("/farm/web", Accept="text/html, application/health+json;q=0.9")
        assert answer.headers["content-type"] == "application/health+json"
        found: dict[str, Any] = json.loads(answer.text) | {"http": answer.status}
        return found

    until(lambda: (document()["status"], document()["http"]) == (word, status), f"{word} and {status}")
    checks = document()["checks"]
    assert isinstance(checks, dict)
    assert set(checks) == {"web:standing", "web:share", "web/page:http", "web/nginx:state"}
    assert checks["web/page:http"][0]["status"] == "pass"
    assert checks["web/nginx:state"][0]["observedValue"] == "running"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", checks["web/page:http"][0]["time"])


def test_detail_of_a_silent_farm(detailed: Page, web: FakeDaemon) -> None:
    web.end()
    assert detailed.wait(503, "/ready?verbose").text == "[-]farm web fails: farmd has ended\nnot ready\n" or (
        "farmd cannot be asked" in detailed.get("/ready?verbose").text
    )


# HAProxy, Prometheus, TLS.


def test_haproxys_agent(shown: Page, web: FakeDaemon) -> None:
    assert shown.agent() == "up ready 33%\n"
    told: list[tuple[dict[str, Any], str]] = [
        ({"drain_announced": True}, "up drain\n"),
        ({"stopped": True, **NOT_READY}, "maint\n"),
        (NOT_READY, "down #check page fails: status 500\n"),
        ({"members": [member(1)]}, "up ready 100%\n"),
    ]
    for changes, said in told:
        web.say(**changes)
        shown.wait_for(shown.agent, said.__eq__)


@pytest.mark.usefixtures("web")
def test_an_agent_for_one_farm(tmp_path: Path) -> None:
    web_port, shop_port = tcp_ports(2)
    agents = f'{{ port = {web_port}, farm = "web" }}, {{ port = {shop_port}, farm = "shop" }}'
    with page(tmp_path, agents=agents) as shown:
        shown.wait(200)
        assert shown.agent(web_port) == "up ready 33%\n"
        assert shown.agent(shop_port) == "down #there is no such farm or mirror on this node\n"


def test_metrics(shown: Page, web: FakeDaemon) -> None:
    web.say(checks=[check("page")], services=[service("nginx")], counters={"brand_new": 7})
    until(lambda: "brand_new" in shown.get("/metrics", port=shown.metrics_port).text, "the new counter")
    text = shown.get("/metrics", port=shown.metrics_port).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name, family in families.items():
        assert family.documentation, name
        if name.startswith("farmd_"):
            assert all({"farm", "node"} <= set(sample.labels) for sample in family.samples), name
    samples = {(sample.name, *sorted(sample.labels.items())): sample.value
               for family in families.values() for sample in family.samples}  # fmt: skip
    about = (("farm", "web"), ("node", "n1"))
    assert samples["farmd_filter_packets_total", about[0], about[1], ("outcome", "brand_new")] == 7
    assert samples["farmd_view_epoch", *about] == 7
    assert samples["farmd_takeover_duration_seconds_count", *about] == 1
    assert samples["farmd_takeover_duration_seconds_sum", *about] == pytest.approx(0.4123)
    assert samples["farm_health_farms",] == 1
    assert 10e6 < samples["farm_health_resident_memory_bytes",] < 200e6
    page_passes = (("check", "page"), about[0], ("kind", "http"), about[1], ("state", "passing"))
    assert samples["farmd_check_state", *page_passes] == 1
    assert {
        "farmd_up",
        "farmd_owned_buckets",
        "farmd_member_state",
        "farmd_heartbeat_round_trip_seconds",
        "farmd_refused_datagrams",
        "farmd_service_restarts",
        "farm_health_cpu_seconds",
    } <= set(families)


def test_a_silent_farm_has_no_numbers(shown: Page, web: FakeDaemon) -> None:
    web.end()
    shown.wait(503)
    text = shown.get("/metrics", port=shown.metrics_port).text
    assert re.findall(r"^farmd_\w+", text, re.MULTILINE) == ["farmd_up", "farmd_serves"]
    assert 'farmd_up{farm="web",node="n1"} 0.0' in text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing(calm: Page) -> None:
    text = calm.get("/metrics", port=calm.metrics_port).text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.usefixtures("web")
def test_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out",
         str(certificate)], check=True, capture_output=True)  # fmt: skip
    context = ssl.create_default_context(cafile=str(certificate))
    settings = f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    with page(tmp_path, settings, context=context) as shown:
        shown.wait(200)
        with socket.create_connection(("127.0.0.1", shown.port), timeout=WAIT_S) as plain:
            plain.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
            assert not plain.recv(100).startswith(b"HTTP")


def test_it_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    running = Page(tmp_path)
    with socket.create_connection(("127.0.0.1", running.port)) as idle:
        assert running.end() == 0
        assert idle.recv(1) == b""
