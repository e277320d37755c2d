"""Services that are OCF resource agents: Debian's own (package resource-agents)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from farmd.core.supervision_events import Started, Stopped
from farmd.supervision import ocf
from farmd.supervision.schema import Service
from tests.supervision.attending import attended, kill, lives, until, within
from tests.supervision.test_command_services import RARELY_S, nginx

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(not ocf.agent("heartbeat:Dummy").exists(), reason="needs the package resource-agents"),
]


def test_dummy(tmp_path: Path) -> None:
    dummy = Service(ocf="heartbeat:Dummy", params={"state": f"{tmp_path}/state"}, interval_s=RARELY_S)
    assert dummy.name == "Dummy"

    async def scenario() -> None:
        async with attended([dummy]) as under_test:
            assert (await under_test.probed("Dummy")).text == "it is not running (OCF_NOT_RUNNING)"
            assert await under_test.begun("Dummy") == Started("Dummy", ok=True, text="")
            assert (await under_test.probed("Dummy", passed=True)).text == "its agent says that it runs"
            assert await under_test.ended("Dummy") == Stopped("Dummy", ok=True, text="", forced=False)
            assert not (await under_test.probed("Dummy", passed=False)).passed

    within(scenario)


def test_nginx(tmp_path: Path) -> None:
    configuration = {"configfile": nginx(tmp_path).start.split()[-1], "status10url": "", "port": "80"}
    service = Service(name="web", ocf="heartbeat:nginx", params=configuration, interval_s=RARELY_S, stop_timeout_s=10)

    async def scenario() -> None:
        async with attended([service]) as under_test:
            started = await under_test.begun("web")
            assert started == Started("web", ok=True, text="")
            assert (await under_test.probed("web", passed=True)).passed
            await until(lambda: len(under_test.processes("web")) == 3, "master and workers")
            assert await under_test.ended("web") == Stopped("web", ok=True, text="", forced=False)
            await under_test.begun("web")
            hung = under_test.processes("web")
            for pid in hung:
                kill(pid, signal.SIGSTOP)
            assert (await under_test.ended("web", force=True)) == Stopped("web", ok=True, text="", forced=True)
            assert not any(map(lives, hung))

    within(scenario)


def test_the_agent_says_why_it_cannot_start(tmp_path: Path) -> None:
    service = Service(name="web", ocf="heartbeat:nginx", params={"configfile": f"{tmp_path}/none"})

    async def scenario() -> None:
        async with attended([service]) as under_test:
            started = await under_test.begun("web")
            assert not started.ok
            assert started.text == f"Cannot parse config file [{tmp_path}/none] (OCF_ERR_CONFIGURED)"
            await under_test.ended("web", force=True)

    within(scenario)
