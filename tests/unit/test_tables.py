"""What farmctl draws of services, checks and events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from rich.console import Console, RenderableType

from farmd import tables
from tests.unit.statuses import NOW_S, check, event, service, status

SINCE = datetime.fromtimestamp(NOW_S - 300).strftime("%Y-%m-%d %H:%M:%S")


def lines(draw: Callable[[dict[str, Any]], RenderableType], answer: dict[str, Any]) -> list[str]:
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(draw(answer))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_status_shows_services_and_only_the_checks_that_fail() -> None:
    answer = status(
        services=[service("nginx"), service("app", "failed") | {"text": "check page fails", "restarts": 3}],
        checks=[check("page", state="failing"), check("ping")],
        failing=["page"],
        reason="service app has failed",
    )
    drawn = lines(tables.status, answer)
    assert f"nginx    running  {SINCE}         0" in drawn
    assert f"app      failed   {SINCE}         3  check page fails" in drawn
    assert any(line.startswith("page   http  failing") for line in drawn)
    assert not any(line.startswith("ping") for line in drawn)
    assert "not ready: service app has failed" in drawn


def test_a_status_of_a_farm_without_services_has_no_word_of_them() -> None:
    assert not any("service" in line or "check" in line for line in lines(tables.status, status()))


def test_checks_show_all_of_them() -> None:
    watched = service("init") | {"managed": False, "text": "a process of it lives"}
    drawn = lines(tables.checks, {"services": [watched], "checks": [check("ping", "ping"), check("page")]})
    assert f"init     running  {SINCE}         0  only watched  a process of it lives" in drawn
    assert [line.split()[0] for line in drawn] == ["service", "init", "check", "ping", "page"]
    assert lines(tables.checks, {"services": [], "checks": []}) == ["no services and no checks are configured"]


def test_events_are_a_line_each_whatever_a_program_has_said() -> None:
    told = [event(300, "7.1", "ready"), event(300, "7.1", "check page fails: \x1b[2J\nall is well")]
    assert lines(tables.events, {"events": told}) == [
        f"{SINCE}     7.1  ready",
        f"{SINCE}     7.1  check page fails: \ufffd[2J\ufffdall is well",
    ]
    assert lines(tables.events, {"events": []}) == ["nothing has happened"]
