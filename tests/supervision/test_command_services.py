"""Services that are commands: real daemons, started, found alive, found dead, stopped and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from farmd.core.supervision_events import Started, Stopped
from farmd.supervision import containment
from farmd.supervision.schema import Service
from lab.processes import processor_s
from tests.supervision.attending import Attended, attended, kill, lives, status, until, within

pytestmark = pytest.mark.needs_root

WANDERER = Path(__file__).with_name("wanderer.py")
RARELY_S = 60.0


def wanderer(*arguments: str, stop: str = "true", stop_timeout_s: float = 0.2) -> Service:
    start = " ".join([sys.executable, str(WANDERER), *arguments])
    return Service(name="w", start=start, stop=stop, interval_s=RARELY_S, stop_timeout_s=stop_timeout_s)


def named(under_test: Attended) -> list[str]:
    """What the wanderer's processes call themselves."""
    return [status(pid, "Name") for pid in under_test.processes("w")]


def terminate(name: str) -> str:
    """A stop command that asks every process of this name to end, which is found in the service's group only."""
    return f"sh -c 'kill -TERM $(grep -l \"^{name}$\" /proc/[0-9]*/comm | cut -d/ -f3)'"


def test_a_daemon_that_wanders_off_is_known_and_killed(run_folder: Path) -> None:
    async def scenario() -> None:
        async with attended([wanderer()]) as under_test:
            assert not (await under_test.probed("w")).passed
            assert await under_test.begun("w") == Started("w", ok=True, text="")
            await until(lambda: named(under_test) == ["somebody else"], "it to take another name")
            (pid,) = under_test.processes("w")
            assert os.getsid(pid) != pid
            assert (await under_test.probed("w")).passed
            killed = await under_test.ended("w")
            assert killed == Stopped("w", ok=True, text="it did not stop within 0.2 s", forced=True)
            assert not lives(pid)
            assert not under_test.group("service.w").path.exists()

    within(scenario)
    assert list(run_folder.iterdir()) == []


async def settled(under_test: Attended) -> int:
    """The wanderer, once the processes by which it went to the background have ended."""
    await until(lambda: named(under_test) == ["somebody else"], "it to be alone")
    (pid,) = under_test.processes("w")
    return pid


def test_death_is_noticed_at_once() -> None:
    async def scenario() -> None:
        async with attended([wanderer()]) as under_test:
            await under_test.begun("w")
            await under_test.probed("w", passed=True)
            loop = asyncio.get_running_loop()
            pid = await settled(under_test)
            killed_s = loop.time()
            kill(pid)
            assert (await under_test.probed("w", passed=False)).text == "no process of it lives"
            assert loop.time() - killed_s < 0.5
            assert await under_test.begun("w") == Started("w", ok=True, text="")
            await under_test.probed("w", passed=True)
            kill(await settled(under_test))
            await under_test.probed("w", passed=False)  # the second death, too
            used_s = processor_s(under_test.attendant.pid)
            await asyncio.sleep(0.5)
            assert processor_s(under_test.attendant.pid) - used_s < 0.1, "and nothing more is noticed"

    within(scenario)


def test_death_is_noticed_at_once_also_after_a_restart() -> None:
    async def scenario() -> None:
        async with attended([wanderer()]) as under_test:
            for _ in range(2):  # the group is removed with the stop, and made anew
                await under_test.begun("w")
                await under_test.ended("w", force=True)
            await under_test.begun("w")
            await under_test.probed("w", passed=True)
            kill(await settled(under_test))
            await under_test.probed("w", passed=False)

    within(scenario)


def test_a_stop_that_works_is_not_forced() -> None:
    async def scenario() -> None:
        async with attended([wanderer(stop=terminate("somebody else"), stop_timeout_s=10)]) as under_test:
            await under_test.begun("w")
            await until(lambda: named(under_test) == ["somebody else"], "it to take another name")
            assert await under_test.ended("w") == Stopped("w", ok=True, text="", forced=False)

    within(scenario)


def test_a_stop_that_is_ignored_is_forced() -> None:
    async def scenario() -> None:
        async with attended([wanderer("deaf", stop=terminate("nobody"), stop_timeout_s=0.5)]) as under_test:
            await under_test.begun("w")
            await until(lambda: named(under_test) == ["nobody"], "it to be deaf")
            (pid,) = under_test.processes("w")
            stopped = await under_test.ended("w")
            assert stopped == Stopped("w", ok=True, text="it did not stop within 0.5 s", forced=True)
            assert not lives(pid)

    within(scenario)


def test_a_stop_command_that_hangs_is_killed_with_the_service() -> None:
    async def scenario() -> None:
        async with attended([wanderer(stop="sleep 984", stop_timeout_s=0.3)]) as under_test:
            await under_test.begun("w")
            under_test.attendant.end("w", force=False)
            await until(lambda: len(under_test.processes("w")) == 2, "the stop command to run")
            left = under_test.processes("w")
            stopped = await under_test.next(lambda report: isinstance(report, Stopped), "the end")
            assert stopped == Stopped("w", ok=True, text="it did not stop within 0.3 s", forced=True)
            assert not any(map(lives, left))

    within(scenario)


def test_a_stop_command_that_fails_while_the_service_lives_is_forced_at_once() -> None:
    async def scenario() -> None:
        async with attended([wanderer(stop="sh -c 'echo no pid file; exit 3'", stop_timeout_s=60)]) as under_test:
            await under_test.begun("w")
            assert await under_test.ended("w") == Stopped("w", ok=True, text="exit code 3: no pid file", forced=True)

    within(scenario)


def test_what_is_dead_is_stopped_whatever_its_stop_command_says() -> None:
    async def scenario() -> None:
        async with attended([wanderer(stop="false")]) as under_test:
            assert await under_test.ended("w") == Stopped("w", ok=True, text="", forced=False)

    within(scenario)


def test_force_does_not_ask(tmp_path: Path) -> None:
    asked = tmp_path / "asked"

    async def scenario() -> None:
        async with attended([wanderer(stop=f"touch {asked}", stop_timeout_s=60)]) as under_test:
            await under_test.begun("w")
            assert await under_test.ended("w", force=True) == Stopped("w", ok=True, text="", forced=True)
            assert not asked.exists()

    within(scenario)


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ("sh -c 'echo; echo \"bind() failed\" >&2; echo more; exit 3'", "exit code 3: bind() failed"),
        ("sh -c 'kill -SEGV $$'", "killed by SIGSEGV"),
        ("sleep 983", "it did not start within 0.3 s"),
        ("/nonexistent/program", "exit code 127: sh: 1: exec: /nonexistent/program: not found"),
    ],
)
def test_a_start_that_fails_says_why(start: str, text: str) -> None:
    async def scenario() -> None:
        async with attended([Service(name="s", start=start, stop="true", start_timeout_s=0.3)]) as under_test:
            assert await under_test.begun("s") == Started("s", ok=False, text=text)
            await until(lambda: under_test.processes("s") == [], "what was started to be killed")

    within(scenario)


def test_a_status_command_has_the_last_word(tmp_path: Path) -> None:
    mark = tmp_path / "runs"
    status = f"sh -c 'test -e {mark} || echo gone; test -e {mark}'"
    service = Service(name="s", start=f"touch {mark}", stop=f"rm {mark}", status=status)

    async def scenario() -> None:
        async with attended([service]) as under_test:
            assert (await under_test.probed("s")).text == "exit code 1: gone"
            assert (await under_test.begun("s")).ok
            assert (await under_test.probed("s", passed=True)).text == "its status command says that it runs"
            assert await under_test.ended("s") == Stopped("s", ok=True, text="", forced=False)
            assert (await under_test.probed("s", passed=False)).text == "exit code 1: gone"

    within(scenario)


def test_what_cannot_be_killed_is_said(tmp_path: Path) -> None:
    service = Service(name="s", start="true", stop="false", status="true")

    async def scenario() -> None:
        async with attended([service]) as under_test:
            await under_test.begun("s")
            stopped = await under_test.ended("s")
            assert not stopped.ok
            assert stopped.text == "all its processes were killed, and its status command says that it runs"
            await under_test.ended("s", force=True)
            under_test.group("service.s").remove()

    within(scenario)


def test_a_daemon_that_talks_without_end_does_not_fill_the_disk(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = "sh -c 'while :; do echo a line that nobody reads; sleep 0.001; done &'"
    service = Service(name="talker", start=start, stop="true", interval_s=0.1, stop_timeout_s=0.1)

    async def scenario() -> None:
        async with attended([service]) as under_test:
            await under_test.begun("talker")
            output = run_folder / f"{under_test.scope}.talker.output"
            await until(lambda: output.stat().st_size > 1000, "it to have talked")
            os.truncate(output, containment.OUTPUT_BYTES_MAX + 1)
            await until(lambda: output.stat().st_size < 10_000, "its output to be emptied")
            await until(lambda: output.stat().st_size > 100, "it to go on talking")
            assert b"a line that nobody reads" in output.read_bytes()
            await under_test.ended("talker")

    within(scenario)


NGINX = """
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    scgi_temp_path {folder}/d; uwsgi_temp_path {folder}/e;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "ok"; }} }}
}}
"""


def nginx(folder: Path) -> Service:
    """nginx at a port that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=found.getsockname()[1]))
    folder.parent.chmod(0o755)
    command = f"nginx -e {folder}/error.log -c {folder}/nginx.conf"
    return Service(name="nginx", start=command, stop=f"{command} -s quit", interval_s=RARELY_S)


def test_nginx(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with attended([nginx(tmp_path)]) as under_test:
            assert await under_test.begun("nginx") == Started("nginx", ok=True, text="")
            assert (await under_test.probed("nginx", passed=True)).passed
            await until(lambda: len(under_test.processes("nginx")) == 3, "master and workers")
            assert await under_test.ended("nginx") == Stopped("nginx", ok=True, text="", forced=False)
            assert await under_test.begun("nginx") == Started("nginx", ok=True, text="")
            for pid in under_test.processes("nginx"):
                kill(pid, signal.SIGSTOP)
            assert (await under_test.ended("nginx", force=True)).forced

    within(scenario)


def test_nginx_that_cannot_start_says_why(tmp_path: Path) -> None:
    service = nginx(tmp_path)
    (tmp_path / "nginx.conf").write_text("nonsense;")

    async def scenario() -> None:
        async with attended([service]) as under_test:
            started = await under_test.begun("nginx")
            assert not started.ok
            assert started.text.startswith("exit code 1: nginx: [emerg] unknown directive")
            await under_test.ended("nginx")

    within(scenario)
