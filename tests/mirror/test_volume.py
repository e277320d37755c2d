"""Volumes as their daemons order them about: what is acknowledged is on both nodes."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from lab.waiting import until
from mirrord.orders import (
    Cut,
    Follow,
    GoAlone,
    Hold,
    Lead,
    Linked,
    Opened,
    Quit,
    Refused,
    Serve,
    Withdraw,
)
from tests.mirror.certificates import certificate
from tests.mirror.volumes import Pair, VolumeProcess, change_places, files, pair
from tests.mirror.writing import Writer

pytestmark = pytest.mark.needs_root

TICK_NS = 10_000_000
"""Files' times are of the kernel's last tick."""


def test_it_is_opened_and_refused_with_a_sentence(tmp_path: Path, both: Pair) -> None:
    assert both.first.wait(Opened).empty
    (tmp_path / "file").write_text("no directory")
    opening = dataclasses.replace(both.opening(1), directories=[str(tmp_path / "file")])
    volume = VolumeProcess(opening)
    try:
        assert volume.wait(Refused).sentence == f"{tmp_path}/file is not a directory"
    finally:
        volume.close()


def test_alone_it_serves_and_nobody_reaches_the_files_before(both: Pair) -> None:
    with pytest.raises(OSError, match="Read-only"):
        (both.first.data / "file").touch()
    both.alone()
    (both.first.data / "file").write_text("content")
    assert (both.first.data / "file").read_text() == "content"


def test_a_change_waits_until_something_is_decided(both: Pair) -> None:
    both.first.obey(Serve())
    changing = threading.Thread(target=(both.first.data / "folder").mkdir)
    changing.start()
    until(lambda: both.first.figures()["held"] == 1, "the change to be held", 10)
    assert not (both.first.data / "folder").exists()
    both.first.obey(GoAlone())
    changing.join(10)
    assert (both.first.data / "folder").is_dir()


def test_what_was_there_and_what_comes_is_on_both(both: Pair) -> None:
    both.alone()
    (both.first.data / "before").write_bytes(os.urandom(100_000))
    both.link()
    folder = both.first.data / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(os.urandom(3_000_000))
    (folder / "file").rename(folder / "renamed")
    os.link(folder / "renamed", folder / "second name")
    (folder / "gone").touch()
    (folder / "gone").unlink()
    assert files(both.first.data) == files(both.second.data)
    assert (both.second.data / "folder" / "second name").stat().st_nlink == 2


def test_an_answered_write_is_at_the_peer_at_once(linked: Pair) -> None:
    fd = os.open(linked.first.data / "file", os.O_RDWR | os.O_CREAT)
    there = linked.second.data / "file"
    for number in range(300):
        os.pwrite(fd, b"%8d" % number, number % 7 * 8)
        assert there.read_bytes()[number % 7 * 8 :][:8] == b"%8d" % number
    os.close(fd)


def test_four_writers_and_a_storm_of_fsyncs(linked: Pair) -> None:
    def write(name: str) -> None:
        fd = os.open(linked.first.data / name, os.O_RDWR | os.O_CREAT)
        for number in range(100):
            os.pwrite(fd, os.urandom(4096), number * 4096)
            (os.fsync if number % 2 else os.fdatasync)(fd)
        os.close(fd)

    writers = [threading.Thread(target=write, args=(f"file{number}",)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive()
    assert files(linked.first.data) == files(linked.second.data)


@pytest.mark.parametrize("size", [1, 4095, (1 << 17) + 1, 1 << 20, (5 << 20) + 1])
def test_writes_of_any_size(linked: Pair, size: int) -> None:
    (linked.first.data / "file").write_bytes(os.urandom(size))
    assert files(linked.first.data) == files(linked.second.data)


def test_both_say_the_same_number_when_they_swap(linked: Pair) -> None:
    (linked.first.data / "file").write_bytes(os.urandom(100_000))
    linked.first.obey(Hold())
    sent = linked.first.obey(Withdraw()).seq
    assert linked.second.obey(Cut()).seq == sent
    assert not os.path.ismount(linked.first.data / "..")
    with pytest.raises(OSError, match="Read-only"):
        (linked.first.data / "file").touch()
    linked.second.obey(Serve())
    change_places(linked)
    linked.link(2)
    (linked.first.data / "file").write_bytes(b"swapped")
    assert files(linked.second.data) == {"file": b"swapped"}


def test_a_peer_of_another_generation_gets_no_link(both: Pair) -> None:
    both.alone()
    both.second.obey(Follow([2, 1]))
    both.first.obey(Lead([1, 1], "journal"))
    for _ in range(2):
        both.first.figures()  # told once a second, in which it dials several times
    assert not [each for each in both.first.reports if isinstance(each, Linked)]


def test_times_settle(linked: Pair) -> None:
    path, there = linked.first.data / "file", linked.second.data / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    linked.second.process.send_signal(signal.SIGSTOP)  # so that it writes later than the primary
    writing = threading.Thread(target=os.pwrite, args=(fd, b"content", 0))
    writing.start()
    until(lambda: linked.first.figures()["in_flight"] > 0, "the write to wait", 10)
    linked.first.figures()
    later_ns = time.time_ns() - TICK_NS
    linked.second.process.send_signal(signal.SIGCONT)
    writing.join(10)
    os.close(fd)
    until(lambda: there.stat().st_mtime_ns < later_ns, "the primary's time to be told")
    os.utime(path, ns=(1, 2))
    assert there.stat().st_mtime_ns == 2


def test_a_time_that_was_seen_is_at_the_peer(linked: Pair) -> None:
    """Since Linux 6.13 a file that was asked for its time gets another one with each write, and each node its own."""
    path, there = linked.first.data / "file", linked.second.data / "file"
    for _ in range(20):
        path.write_bytes(b"content")
        assert path.stat().st_mtime_ns == there.stat().st_mtime_ns
        with path.open("r+b", buffering=0) as file:
            file.write(b"changed")
            os.fsync(file)
        with os.scandir(path.parent) as entries:
            assert [each.stat().st_mtime_ns for each in entries] == [there.stat().st_mtime_ns]


def test_quit_leaves_nothing(linked: Pair) -> None:
    linked.first.order(Quit())
    linked.first.process.wait(10)
    assert not os.path.ismount(linked.first.data)
    (linked.first.data / "file").write_text("as before mirrord")


def test_acknowledged_means_the_disk(tmp_path: Path) -> None:
    with pair(tmp_path, ack="disk") as both:
        both.alone()
        both.link()
        (both.first.data / "folder").mkdir()
        (both.first.data / "folder" / "file").write_bytes(os.urandom(20_000))
        assert files(both.first.data) == files(both.second.data)


def test_under_tls(tmp_path: Path) -> None:
    files_of = {node: certificate(tmp_path, f"n{node}") for node in (1, 2)}
    with pair(tmp_path, per_node={node: {"tls": tls} for node, tls in files_of.items()}) as both:
        both.alone()
        (both.first.data / "before").write_bytes(os.urandom(1_000_000))
        both.link()
        (both.first.data / "file").write_bytes(os.urandom(9_000_000))
        assert files(both.first.data) == files(both.second.data)


def test_its_threads_go_first_but_are_not_real_time(both: Pair) -> None:
    threads = [int(number) for number in os.listdir(f"/proc/{both.first.process.pid}/task")]
    assert len(threads) > 1
    assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {-10}
    assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_OTHER}


def test_a_hold_ends_when_it_goes_alone(linked: Pair) -> None:
    linked.first.obey(Hold())
    writer = Writer(linked.first.data / "file")
    until(lambda: linked.first.figures()["in_flight"] > 0, "the writer to wait", 10)
    assert writer.acknowledged < 0
    linked.first.obey(GoAlone())
    writer.goes_on()
    writer.end()


def test_withdrawing_what_is_not_mounted_leaves_the_cover(both: Pair) -> None:
    both.first.obey(Withdraw())
    with pytest.raises(OSError, match="Read-only"):
        (both.first.data / "file").touch()


def test_writers_into_new_zones_do_not_stop_each_other(both: Pair) -> None:
    """More than may be put aside waits for marks of the journal at once."""
    both.alone()
    fds = [os.open(both.first.data / str(number), os.O_RDWR | os.O_CREAT) for number in range(60)]
    content = os.urandom(1 << 20)
    at_once = threading.Barrier(len(fds))

    def write(fd: int) -> None:
        at_once.wait()
        for zone in range(1, 4):
            os.pwrite(fd, content, zone << 22)

    threads = [threading.Thread(target=write, args=(fd,), daemon=True) for fd in fds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    for fd in fds:
        os.close(fd)
