"""Run by `test_unit_services.py`, where a systemd with its units is process 1."""

from __future__ import annotations

import asyncio
import signal
import subprocess

import pytest

from farmd.core.supervision_events import Started, Stopped
from farmd.errors import ConfigError
from farmd.supervision import machine
from farmd.supervision.schema import Service
from tests.supervision.attending import attended, kill, lives, status, until, within

RARELY_S = 60.0


def unit(name: str, **options: float) -> Service:
    return Service(unit=f"{name}.service", **{"interval_s": RARELY_S, **options})  # type: ignore[arg-type]


def shown(name: str, what: str) -> str:
    command = ["systemctl", "show", f"--property={what}", "--value", f"{name}.service"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_unit_is_started_found_dead_and_stopped() -> None:
    async def scenario() -> None:
        async with attended([unit("nap")]) as under_test:
            assert (await under_test.probed("nap")).text == "nap.service is inactive (dead)"
            assert await under_test.begun("nap") == Started("nap", ok=True, text="")
            assert (await under_test.probed("nap", passed=True)).text == "active (running)"
            main, loop = int(shown("nap", "MainPID")), asyncio.get_running_loop()
            killed_s = loop.time()
            kill(main)
            assert (await under_test.probed("nap", passed=False)).text == "nap.service is failed (failed)"
            assert loop.time() - killed_s < 1
            assert (await under_test.begun("nap")).ok
            assert await under_test.ended("nap") == Stopped("nap", ok=True, text="", forced=False)
            assert shown("nap", "ActiveState") == "inactive"

    within(scenario)


def test_a_unit_that_does_not_stop_is_killed() -> None:
    async def scenario() -> None:
        async with attended([unit("deaf", stop_timeout_s=0.5)]) as under_test:
            await under_test.begun("deaf")
            main = int(shown("deaf", "MainPID"))
            await until(lambda: int(status(main, "SigIgn"), 16) & 1 << (signal.SIGTERM - 1) != 0, "it to be deaf")
            stopped = await under_test.ended("deaf")
            assert stopped == Stopped("deaf", ok=True, text="it did not stop within 0.5 s", forced=True)
            assert not lives(main)

    within(scenario)


def test_force_is_final_even_if_systemd_would_start_it_anew() -> None:
    async def scenario() -> None:
        async with attended([unit("deaf-again")]) as under_test:
            await under_test.begun("deaf-again")
            stopped = await under_test.ended("deaf-again", force=True)
            assert stopped == Stopped("deaf-again", ok=True, text="", forced=True)
            assert shown("deaf-again", "ActiveState") in ("inactive", "failed")

    within(scenario)


def test_a_death_is_a_death_also_if_systemd_starts_it_anew() -> None:
    async def scenario() -> None:
        async with attended([unit("again", interval_s=0.1)]) as under_test:
            await under_test.begun("again")
            await under_test.probed("again", passed=True)
            kill(int(shown("again", "MainPID")))
            assert (await under_test.probed("again", passed=False)).text == "again.service is activating (auto-restart)"
            await under_test.probed("again", passed=True)
            await under_test.ended("again")

    within(scenario)


def test_a_machine_that_shuts_down_is_not_waited_for() -> None:
    """systemd stops farmd before the unit, and so would wait for farmd if farmd waited for it."""

    async def scenario() -> None:
        async with attended([unit("nap")]) as under_test:
            assert (await under_test.begun("nap")).ok
            subprocess.run(["systemctl", "--no-block", "start", "shutdown.target"], check=True)
            try:
                assert await under_test.ended("nap") == Stopped("nap", ok=True, text="", forced=False)
                assert shown("nap", "ActiveState") == "active"
                assert await under_test.ended("nap", force=True) == Stopped("nap", ok=True, text="", forced=True)
            finally:
                subprocess.run(["systemctl", "stop", "holding.service", "shutdown.target"], check=True)
            await under_test.ended("nap")

    within(scenario)


def test_a_unit_that_does_not_start_says_so() -> None:
    async def scenario() -> None:
        async with attended([unit("broken")]) as under_test:
            started = await under_test.begun("broken")
            assert not started.ok
            assert "Job for broken.service failed" in started.text

    within(scenario)


def test_a_unit_may_be_restarted_more_often_than_systemd_would() -> None:
    async def scenario() -> None:
        async with attended([unit("fickle")]) as under_test:
            for _ in range(4):
                assert (await under_test.begun("fickle")).ok
                kill(int(shown("fickle", "MainPID")))
                await under_test.probed("fickle", passed=False)

    within(scenario)


def test_an_unknown_unit_is_refused_before_anything_starts() -> None:
    machine.check([unit("nap")], [])
    for name, sentence in (
        ("nonsense", "there is no unit nonsense.service on this machine"),
        ("bad", "systemd cannot start bad.service: it is bad-setting"),
    ):
        with pytest.raises(ConfigError) as caught:
            machine.check([unit("nap"), unit(name)], [])
        assert (caught.value.key, caught.value.sentence) == ("service[1].unit", sentence)
