"""The attendant as a process: what it inherits, how it ends, and what happens when it dies or freezes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from farmd.core.supervision_events import Started, Stopped
from farmd.supervision import attendant, cgroup
from farmd.supervision.schema import Check, Service
from lab.waiting import until as wait_until
from tests.supervision.attending import Attended, attended, kill, lives, status, until, within
from tests.supervision.attending import scope as new_scope

pytestmark = pytest.mark.needs_root

NAP = Service(name="nap", start="sh -c 'setsid sleep 987 &'", stop="true", interval_s=60)
SLOW = Service(name="slow", start="sleep 986", stop="true", interval_s=60)
LONG = Check("long", exec="sleep 985", timeout_s=300)
TERM = 1 << (signal.SIGTERM - 1)


def test_every_check_is_tried_at_once() -> None:
    checks = [Check(f"c{number}", exec=f"sh -c 'exit {number % 2}'", interval_s=600) for number in range(6)]

    async def scenario() -> None:
        async with attended([NAP], checks) as under_test:
            await until(lambda: len(under_test.reports) == 7, "a first result of each")
            results = {report.name: report.passed for report in under_test.reports}  # type: ignore[union-attr]
            assert results == {"nap": False, "c0": True, "c1": False, "c2": True, "c3": False, "c4": True, "c5": False}

    within(scenario)


def test_checks_of_one_interval_do_not_stay_together() -> None:
    checks = [Check(f"c{number}", process="init", interval_s=1) for number in range(4)]

    async def scenario() -> None:
        async with attended(checks=checks) as under_test:
            loop = asyncio.get_running_loop()
            came_s: dict[int, float] = {}
            await until(lambda: len(under_test.reports) == 4, "a first result of each")
            while len(under_test.reports) < 8:
                await asyncio.sleep(0.002)
                came_s.setdefault(len(under_test.reports), loop.time())
            gaps_s = [came_s[number + 1] - came_s[number] for number in range(5, 8)]
            assert min(gaps_s) > 0.1

    within(scenario)


def test_it_is_an_ordinary_process_of_an_extraordinary_farmd() -> None:
    async def scenario() -> None:
        async with attended([NAP]) as under_test:
            await under_test.begun("nap")
            for pid in (under_test.attendant.pid, *under_test.processes("nap")):
                assert os.sched_getscheduler(pid) == os.SCHED_OTHER
                assert os.getpriority(os.PRIO_PROCESS, pid) == 0
                assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "0\n"
            (nap,) = under_test.processes("nap")
            assert int(status(nap, "SigIgn"), 16) & TERM == 0

    with contextlib.suppress(PermissionError):  # not even root may in some containers
        Path("/proc/self/oom_score_adj").write_text("-900")
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(50))
    try:
        within(scenario)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        Path("/proc/self/oom_score_adj").write_text("0")


def test_what_systemd_tells_farmd_is_not_for_services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    tell = Service(name="tell", start=f"sh -c 'env > {tmp_path}/environment'", stop="true")

    async def scenario() -> None:
        async with attended([tell]) as under_test:
            assert (await under_test.begun("tell")).ok
            await under_test.ended("tell")

    within(scenario)
    environment = (tmp_path / "environment").read_text()
    assert "PATH=" in environment
    assert "NOTIFY_SOCKET" not in environment
    assert "WATCHDOG" not in environment


def test_a_signal_to_the_whole_unit_is_not_for_the_attendant() -> None:
    async def scenario() -> None:
        async with attended([NAP]) as under_test:
            await under_test.probed("nap")
            before = under_test.attendant.pid
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                kill(before, number)
            assert (await under_test.begun("nap")).ok
            assert under_test.attendant.pid == before
            (nap,) = under_test.processes("nap")
            kill(nap, signal.SIGTERM)
            assert not (await under_test.probed("nap", passed=False)).passed

    within(scenario)


def test_a_killed_attendant_is_replaced_and_what_was_under_way_has_failed() -> None:
    async def scenario() -> None:
        async with attended([NAP, SLOW], [LONG]) as under_test:
            await under_test.begun("nap")
            under_test.attendant.begin("slow")
            await until(lambda: bool(under_test.processes("slow")), "the slow start to begin")
            await until(lambda: len(under_test.group("attendant").processes()) == 2, "the long probe to begin")
            before, probe = sorted(under_test.group("attendant").processes())
            kill(under_test.attendant.pid)
            failed = await under_test.next(lambda report: isinstance(report, Started), "the start to fail")
            assert failed == Started("slow", ok=False, text="the attendant has ended")
            assert (await under_test.probed("nap", passed=True)).text == "a process of it lives"
            assert under_test.attendant.pid != before
            assert not lives(probe)

    within(scenario)


def test_a_frozen_attendant_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendant, "SILENCE_S", 2.5)

    async def scenario() -> None:
        async with attended([NAP]) as under_test:
            await under_test.begun("nap")
            frozen = under_test.attendant.pid
            loop = asyncio.get_running_loop()
            kill(frozen, signal.SIGSTOP)
            frozen_s = loop.time()
            under_test.attendant.end("nap", force=False)
            failed = await under_test.next(lambda report: isinstance(report, Stopped), "the stop to fail")
            assert failed == Stopped("nap", ok=False, text="the attendant was silent for 2.5 s", forced=False)
            assert loop.time() - frozen_s < 2.5 + attendant.END_WITHIN_S, "it is not asked to end"
            await under_test.probed("nap", passed=True)
            assert under_test.attendant.pid != frozen
            assert not lives(frozen)

    within(scenario)


def test_an_attendant_that_dies_at_once_is_started_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")

    async def scenario() -> None:
        async with attended([NAP]) as under_test:
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            pids: set[int] = set()
            while len(pids) < 3:
                await asyncio.sleep(0.002)
                pids.add(under_test.attendant.pid)
            assert loop.time() - began_s >= 2 * attendant.RESTART_PAUSE_S

    within(scenario)


def test_orders_given_while_there_is_no_attendant_reach_the_next() -> None:
    async def scenario() -> None:
        async with attended([NAP]) as under_test:
            await under_test.probed("nap")
            kill(under_test.attendant.pid)
            await until(lambda: status(under_test.attendant.pid, "State") == "", "the attendant to be buried")
            assert (await under_test.begun("nap")).ok

    within(scenario)


def test_an_order_replaces_the_one_before() -> None:
    async def scenario() -> None:
        async with attended([SLOW]) as under_test:
            await under_test.probed("slow")
            under_test.attendant.begin("slow")
            await until(lambda: bool(under_test.processes("slow")), "the slow start to begin")
            stopped = await under_test.ended("slow", force=True)
            assert stopped == Stopped("slow", ok=True, text="", forced=True)
            assert not any(isinstance(report, Started) for report in under_test.reports)

    within(scenario)


def test_an_answer_that_comes_too_late_is_not_passed_on(tmp_path: Path) -> None:
    """It was on its way when the next order was given."""
    quick = Service(name="quick", start=f"touch {tmp_path}/done", stop="true")

    async def scenario() -> None:
        async with attended([quick]) as under_test:
            await under_test.probed("quick")
            under_test.attendant.begin("quick")
            await asyncio.sleep(0)  # the order leaves, and nothing is read until the next one
            wait_until(lambda: (tmp_path / "done").exists() and not under_test.processes("quick"), "the start to end")
            assert (await under_test.ended("quick", force=True)).ok
            assert not any(isinstance(report, Started) for report in under_test.reports)

    within(scenario)


def test_farmd_killed_the_attendant_ends_and_the_service_lives_on() -> None:
    scope = new_scope()
    with subprocess.Popen([sys.executable, "-m", "tests.supervision.a_farmd", scope], stdout=subprocess.PIPE) as farmd:
        assert farmd.stdout is not None
        assert farmd.stdout.readline() == b"started\n"
        farmd.kill()

    async def scenario() -> None:
        before = Attended([NAP], [], scope)
        await until(lambda: not before.group("attendant").populated, "attendant and probe to end")
        (nap,) = before.processes("nap")
        async with attended([NAP], name=scope) as under_test:
            assert (await under_test.probed("nap")).passed
            assert under_test.processes("nap") == [nap]
            under_test.attendant.end("nap", force=True)
            await under_test.next(lambda report: isinstance(report, Stopped), "the service to be stopped")

    within(scenario)


def test_nothing_is_left_of_an_attendant_that_was_closed() -> None:
    async def scenario() -> None:
        async with attended(checks=[LONG]) as under_test:
            await until(lambda: len(under_test.group("attendant").processes()) == 2, "the long probe to begin")
            left = under_test.group("attendant").processes()
            await under_test.attendant.close()
            assert not any(map(lives, left))
            assert status(under_test.attendant.pid, "State") == "", "the zombie is buried"
            assert not under_test.base.path.exists()

    within(scenario)


def test_services_are_found_where_a_farmd_that_was_started_elsewhere_left_them() -> None:
    scope, own = new_scope(), cgroup.own()
    assert own is not None
    elsewhere = cgroup.Cgroup(own.path / f"farmd-elsewhere-{scope}")
    left = cgroup.Cgroup(elsewhere.path / f"farmd.{scope}" / "service.nap")
    left.make()
    nap = subprocess.Popen(left.command(["sleep", "973"]))

    async def scenario() -> None:
        async with attended([NAP], name=scope) as under_test:
            await under_test.probed("nap", passed=True)
            assert (await under_test.ended("nap", force=True)).ok
        assert not left.path.parent.exists()

    wait_until(lambda: left.populated, "the service to be there")
    within(scenario)
    assert nap.wait() == -signal.SIGKILL
    elsewhere.path.rmdir()
