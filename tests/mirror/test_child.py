"""The daemon's side of the volume: a real child process that does what it should, dies, hangs or floods."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from farmd.kit.lock import Lock
from lab.waiting import until
from mirrord import child
from mirrord.child import Volume, volume_lock
from mirrord.orders import Alive, Cover, Done, Open, Opened, Rate, Refused, Report

WAIT_S = 15.0


class Seen:
    """What a volume has said and how it ended, in their order."""

    def __init__(self, behaviour: str, lock: Lock) -> None:
        opening = Open("db", 1, [behaviour], "/nowhere", "applied", [], [], 2, [], 1)
        self.reports: list[Report] = []
        self.ends: list[str] = []
        self.volume = Volume(opening, self.reports.append, self.ends.append, lock, "tests.mirror.a_volume")

    async def until(self, true: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while not true():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}; there were {self.reports} and {self.ends}") from None

    async def opened(self, times: int = 1) -> None:
        await self.until(lambda: self.reports.count(Opened(empty=True, unclean=False)) == times, "it to open")


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lock]:
    monkeypatch.setenv("FARMD_RUN", str(tmp_path))
    lock = volume_lock("db")
    yield lock
    lock.release()


def run(behaviour: str, lock: Lock, act: Callable[[Seen], Awaitable[None]]) -> None:
    async def main() -> None:
        seen = Seen(behaviour, lock)
        await seen.volume.start()
        try:
            await act(seen)
        finally:
            await seen.volume.close()

    asyncio.run(main())


def is_dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_orders_are_answered_in_their_order_and_what_it_is_told_is_not(lock: Lock) -> None:
    async def act(seen: Seen) -> None:
        await seen.opened()
        seen.volume.order(Cover())
        seen.volume.tell(Rate(5))
        seen.volume.order(Cover())
        await seen.until(lambda: len(seen.reports) == 3, "the answers")
        assert seen.reports[1:] == [Done(seq=2), Done(seq=4)]

    run("good", lock, act)


def test_at_the_end_it_is_asked_to_end_and_that_is_no_loss(lock: Lock) -> None:
    async def main() -> None:
        seen = Seen("good", lock)
        await seen.volume.start()
        await seen.opened()
        began_s = time.monotonic()
        await seen.volume.close()
        assert time.monotonic() - began_s < child.END_WITHIN_S / 2
        assert seen.ends == []
        assert is_dead(seen.volume.pid)

    asyncio.run(main())


def test_one_that_dies_is_told_of_and_started_anew(lock: Lock) -> None:
    async def act(seen: Seen) -> None:
        await seen.opened()
        first = seen.volume.pid
        os.kill(first, signal.SIGKILL)
        await seen.opened(times=2)
        assert seen.ends == ["its process has ended"]
        assert seen.volume.pid != first
        seen.volume.order(Cover())
        await seen.until(lambda: isinstance(seen.reports[-1], Done), "an answer of the new one")

    run("good", lock, act)


def test_one_that_is_to_be_replaced_is_killed_though_it_is_frozen(lock: Lock) -> None:
    async def act(seen: Seen) -> None:
        await seen.opened()
        os.kill(seen.volume.pid, signal.SIGSTOP)
        seen.volume.replace("it gives no sign of life")
        await seen.opened(times=2)
        assert seen.ends == ["it gives no sign of life"]

    run("good", lock, act)


def test_one_that_refuses_says_why_and_is_tried_again_later(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "REFUSED_PAUSE_S", 0.3)

    async def act(seen: Seen) -> None:
        refused = Refused("the directory is a file")
        await seen.until(lambda: seen.reports.count(refused) == 2, "a second try")
        assert seen.ends == ["its process has ended"]

    run("refuse", lock, act)


def test_one_that_does_not_open_is_replaced(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "OPEN_WITHIN_S", 0.2)

    async def act(seen: Seen) -> None:
        await seen.until(lambda: bool(seen.ends), "it to be replaced")
        assert seen.ends[0] == "it did not open the directories within 0.2 s"

    run("mute", lock, act)


def test_one_that_talks_nonsense_is_replaced(lock: Lock) -> None:
    async def act(seen: Seen) -> None:
        await seen.until(lambda: bool(seen.ends), "it to be replaced")
        assert seen.ends[0] == "it was not understood"

    run("nonsense", lock, act)


def test_one_that_floods_leaves_the_loop_its_time(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "END_WITHIN_S", 0.2)

    async def act(seen: Seen) -> None:
        await seen.opened()
        late_s = []
        for _ in range(50):
            began_s = time.monotonic()
            await asyncio.sleep(0.01)
            late_s.append(time.monotonic() - began_s - 0.01)
        assert sum(isinstance(report, Alive) for report in seen.reports) > 1000, "it floods"
        assert sorted(late_s)[len(late_s) // 2] < 0.05

    run("flood", lock, act)


ORPHANING = """
import asyncio, sys
from tests.mirror.test_child import Seen
from mirrord.child import volume_lock

async def main():
    seen = Seen(sys.argv[1], volume_lock("db"))
    await seen.volume.start()
    await seen.opened()
    print(seen.volume.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def orphan(behaviour: str, folder: Path) -> int:
    """The process number of a volume whose daemon has just been killed."""
    environment = {**os.environ, "FARMD_RUN": str(folder)}
    daemon = subprocess.Popen(
        [sys.executable, "-c", ORPHANING, behaviour], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert daemon.stdout is not None
    pid = int(daemon.stdout.readline())
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()  # its volume may have it, too
    return pid


def test_one_whose_daemon_died_ends_and_the_next_daemon_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARMD_RUN", str(tmp_path))
    pid = orphan("good", tmp_path)
    began_s = time.monotonic()
    lock = volume_lock("db")
    assert time.monotonic() - began_s < child.FENCE_WITHIN_S
    assert lock.holder() == os.getpid()
    lock.release()
    until(lambda: is_dead(pid), "it to be buried")


def test_one_that_outlives_its_daemon_is_killed_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARMD_RUN", str(tmp_path))
    monkeypatch.setattr(child, "FENCE_WITHIN_S", 0.1)
    pid = orphan("deaf", tmp_path)
    lock = volume_lock("db")
    until(lambda: is_dead(pid), "it to be buried")
    lock.release()
    assert not (tmp_path / "db.volume").exists()
