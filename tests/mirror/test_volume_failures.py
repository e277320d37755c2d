"""Volumes that are killed, frozen, cut off or out of room: nothing that was acknowledged is lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from pathlib import Path

import pytest

from lab.waiting import until
from mirrord.compare import differences, listing
from mirrord.orders import (
    Cut,
    GoAlone,
    LocalFault,
    Serve,
    Unlinked,
    Withdraw,
)
from tests.mirror.volumes import Pair, VolumeProcess, change_places, equal, files, pair
from tests.mirror.writing import Recorder, Writer, has_everything, small_disk
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root


def test_killing_the_secondary_holds_changes_until_the_primary_may_go_alone(linked: Pair) -> None:
    writer = Writer(linked.first.data / "file")
    writer.goes_on()
    linked.second.kill()
    linked.first.wait(Unlinked)
    until(lambda: linked.first.figures()["held"] > 0, "a change to be held", 10)
    held = writer.acknowledged
    assert has_everything(Path(linked.opening(2).directories[0]) / "file", held)
    linked.first.obey(GoAlone())
    writer.goes_on()
    acknowledged = writer.end()
    assert has_everything(linked.first.data / "file", acknowledged)


def test_killing_the_primary_loses_nothing_that_was_acknowledged(linked: Pair) -> None:
    for generation in range(2, 6):
        writer = Writer(linked.first.data / f"file{generation}")
        writer.goes_on()
        linked.first.kill()
        acknowledged = writer.end()
        linked.second.wait(Unlinked)
        linked.second.obey(Cut())
        linked.second.obey(Serve())
        linked.second.obey(GoAlone())
        assert has_everything(linked.second.data / f"file{generation}", acknowledged)
        change_places(linked)
        linked.second = linked.start(linked.second.opening.node)
        linked.link(generation)
        until(equal(linked.first.data, linked.second.data), "both to be equal")


def test_a_frozen_secondary_costs_bounded_memory_and_thaws(linked: Pair) -> None:
    """Sixty writers of a mebibyte each: more than what is kept for it here, in the kernel and on the way."""
    fds = [os.open(linked.first.data / str(number), os.O_RDWR | os.O_CREAT) for number in range(60)]
    linked.second.process.send_signal(signal.SIGSTOP)
    before = resident_kb(linked.first)
    threads = [threading.Thread(target=os.pwrite, args=(fd, os.urandom(1 << 20), 0)) for fd in fds]
    for thread in threads:
        thread.start()
    until(lambda: linked.first.figures()["lag_bytes"] > 0, "changes to wait", 10)
    linked.first.figures()
    assert resident_kb(linked.first) < before + 30_000
    assert all(thread.is_alive() for thread in threads)
    linked.second.process.send_signal(signal.SIGCONT)
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    for fd in fds:
        os.close(fd)
    assert files(linked.first.data) == files(linked.second.data)


def resident_kb(volume: VolumeProcess) -> int:
    status = Path(f"/proc/{volume.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_a_thawed_primary_that_was_replaced_acknowledges_nothing(linked: Pair) -> None:
    writer = Writer(linked.first.data / "file")
    writer.goes_on()
    linked.first.process.send_signal(signal.SIGSTOP)
    linked.second.obey(Cut())
    acknowledged = writer.acknowledged
    assert has_everything(linked.second.data / "file", acknowledged)
    linked.first.process.send_signal(signal.SIGCONT)
    linked.first.wait(Unlinked)
    until(lambda: linked.first.figures()["held"] > 0, "the writer to be held", 10)
    linked.first.order(Withdraw(force=True))
    assert has_everything(linked.second.data / "file", writer.end())


def test_a_relinked_pair_answers_what_was_held(linked: Pair) -> None:
    writer = Writer(linked.first.data / "file")
    for generation in range(2, 5):
        writer.goes_on()
        linked.second.obey(Cut())
        linked.first.wait(Unlinked, len(linked.first.reports) - 1)
        linked.link(generation)
    writer.goes_on()
    acknowledged = writer.end()
    until(equal(linked.first.data, linked.second.data), "both to be equal")
    assert has_everything(linked.second.data / "file", acknowledged)


def test_who_loses_its_daemon_fences_itself(linked: Pair) -> None:
    fd = os.open(linked.first.data / "file", os.O_RDWR | os.O_CREAT)
    linked.first.close_line()
    linked.first.process.wait(10)
    with pytest.raises(OSError, match="not connected"):
        os.pwrite(fd, b"too late", 0)
    with contextlib.suppress(OSError):  # what the kernel keeps of it is lost, as it should be
        os.close(fd)
    linked.second.wait(Unlinked)


def test_a_full_disk_of_the_peer_makes_it_leave(tmp_path: Path) -> None:
    with small_disk(tmp_path / "node2"), pair(tmp_path) as both:
        both.alone()
        both.link()
        writing = threading.Thread(target=lambda: (both.first.data / "file").write_bytes(os.urandom(40 << 20)))
        writing.start()
        lost = both.first.wait(Unlinked)
        assert lost.peer_disk
        assert lost.reason == "the peer could not carry out a change: No space left on device"
        assert writing.is_alive()
        both.first.obey(GoAlone())
        writing.join(30)
        assert (both.first.data / "file").stat().st_size == 40 << 20


def test_a_full_disk_of_our_own_is_the_applications_error_and_makes_no_difference(tmp_path: Path) -> None:
    with small_disk(tmp_path / "node1"), pair(tmp_path) as both:
        both.alone()
        both.link()
        with pytest.raises(OSError, match="No space left"):
            (both.first.data / "file").write_bytes(os.urandom(40 << 20))
        assert not [each for each in both.first.reports if isinstance(each, Unlinked | LocalFault)]
        assert files(both.first.data) == files(both.second.data)


def test_many_kills_at_random_moments(tmp_path: Path) -> None:
    """Either one is killed or stops for a while. VOLUME_KILLS=200 for the long form, VOLUME_SEED for another one."""
    kills, seed = int(os.environ.get("VOLUME_KILLS", "8")), int(os.environ.get("VOLUME_SEED", "1"))
    chance, ledger = random.Random(seed), Ledger()
    with pair(tmp_path) as both:
        both.alone()
        both.link()
        for generation in range(2, 2 + kills):
            recorder = Recorder(both.first.data, ledger)
            recorder.goes_on(chance.randrange(1, 1000))
            hurt = chance.choice([signal.SIGKILL, signal.SIGSTOP])
            done = f"{generation}: {hurt.name}"
            if chance.random() < 0.5:
                lose_the_first(both, hurt)
                recorder.end()
            else:
                lose_the_second(both, hurt)
                recorder.goes_on(100)
                recorder.end()
            assert ledger.check(both.first.data) == [], done
            both.second = both.start(3 - both.first.opening.node)
            both.link(generation)
            until(equal(both.first.data, both.second.data), f"{done}: both to be equal")
        until(lambda: differences(listing(both.first.data), listing(both.second.data)) == [], "equal metadata")
    print(f"{kills} kills, {ledger.acknowledged} operations acknowledged")


def lose_the_first(both: Pair, hurt: signal.Signals) -> None:
    """The second one takes over; one that only stopped finds out when it goes on, and can promise nothing any more."""
    lost, seen = both.first, len(both.second.reports)
    lost.process.send_signal(hurt)
    if hurt is signal.SIGKILL:
        both.second.wait(Unlinked, seen)
    for order in (Cut(), Serve(), GoAlone()):
        both.second.obey(order)
    change_places(both)
    if hurt is signal.SIGSTOP:
        lost.process.send_signal(signal.SIGCONT)
        lost.wait(Unlinked)
        lost.obey(Withdraw(force=True))
    lost.kill()


def lose_the_second(both: Pair, hurt: signal.Signals) -> None:
    """The first one goes on alone."""
    seen = len(both.first.reports)
    both.second.process.send_signal(hurt)
    if hurt is signal.SIGKILL:
        both.first.wait(Unlinked, seen)
    else:
        both.first.obey(Cut())
    both.first.obey(GoAlone())
    both.second.kill()


def test_what_is_held_has_changed_nothing(both: Pair) -> None:
    both.first.obey(Serve())
    failures: list[OSError] = []

    def change() -> None:
        try:
            (both.first.data / "folder").mkdir()
        except OSError as error:
            failures.append(error)

    changing = threading.Thread(target=change)
    changing.start()
    until(lambda: both.first.figures()["held"] == 1, "the change to be held", 10)
    both.first.obey(Withdraw(force=True))
    changing.join(10)
    assert failures
    assert os.listdir(both.first.data) == []


def test_a_sync_waits_for_what_is_decided_about_the_peer(linked: Pair) -> None:
    fd = os.open(linked.first.data / "file", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"content", 0)
    linked.second.kill()
    linked.first.wait(Unlinked)
    syncing = threading.Thread(target=os.fsync, args=(fd,), daemon=True)
    syncing.start()
    for _ in range(2):
        linked.first.figures()
    assert syncing.is_alive()
    linked.first.obey(GoAlone())
    syncing.join(10)
    assert not syncing.is_alive()
    os.close(fd)


def test_more_writers_than_are_put_aside_go_on_when_it_is_decided(linked: Pair) -> None:
    fds = [os.open(linked.first.data / str(number), os.O_RDWR | os.O_CREAT) for number in range(60)]
    linked.second.kill()
    linked.first.wait(Unlinked)
    before = resident_kb(linked.first)
    content = os.urandom(1 << 20)  # memory that was never touched would be taken page by page
    threads = [threading.Thread(target=os.pwrite, args=(fd, content, 0), daemon=True) for fd in fds]
    for thread in threads:
        thread.start()
    until(lambda: linked.first.figures()["held"] >= 8, "writes to be held", 10)
    assert resident_kb(linked.first) < before + 30_000
    linked.first.obey(GoAlone())
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    for fd in fds:
        os.close(fd)
