"""A planned stop of either node, by an operator or by SIGTERM, while somebody writes: nothing acknowledged is lost."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from lab.mirror import MirrorLab
from mirrord.volume.mounting import mounts
from tests.lab.changed import program
from tests.lab.mirrors import DATA, Recording, missing, other, restore, wait_equal
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

WAYS = ["farmctl stop", "SIGTERM"]
PLACE = "mirrord/volume/mounting/place.py"
COVERS = "        fuse_mount.cover(self.path)"


@pytest.fixture
def serving(pair: MirrorLab) -> str:
    """The node that serves an empty directory to a pair in sync."""
    serving = restore(pair)
    pair.exec(serving, "sh", "-c", f"rm -rf {DATA}/*")
    return serving


def stop(lab: MirrorLab, node: str, way: str) -> None:
    if way == "SIGTERM":
        lab.stop(node)
    else:
        lab.farmctl(node, "stop")
        assert lab.status(node)["role"] == "STOP", "farmctl waits until it is so"


def start(lab: MirrorLab, node: str, way: str) -> None:
    if way == "SIGTERM":
        lab.start(node)
    else:
        lab.farmctl(node, "start")


@pytest.mark.parametrize("way", WAYS)
def test_the_node_that_serves_is_stopped_and_the_other_one_goes_on(pair: MirrorLab, serving: str, way: str) -> None:
    lab, ledger, successor = pair, Ledger(), other(serving)
    with Recording(lab, ledger, serving) as recording:
        recording.wait_more(500)
        stop(lab, serving, way)
        lab.wait(successor, role="ALONE", readiness="ready")
    assert missing(lab, ledger, successor) == []
    with Recording(lab, ledger, successor) as recording:
        recording.wait_more(200)
        start(lab, serving, way)
        assert lab.wait_pair() == successor
        recording.wait_more(200)
    wait_equal(lab)
    assert missing(lab, ledger, successor) == []


@pytest.mark.parametrize("way", WAYS)
def test_the_node_that_follows_is_stopped_and_nobody_notices(pair: MirrorLab, serving: str, way: str) -> None:
    lab, ledger, follower = pair, Ledger(), other(serving)
    with Recording(lab, ledger, serving) as recording:
        recording.wait_more(500)
        stop(lab, follower, way)
        lab.wait(serving, role="ALONE", readiness="ready")
        recording.wait_more(200)
        start(lab, follower, way)
        assert lab.wait_pair() == serving
        recording.wait_more(200)
    assert ledger.ended == []
    wait_equal(lab)
    assert missing(lab, ledger, serving) == []


def test_both_are_stopped_one_after_the_other_and_come_back(pair: MirrorLab, serving: str) -> None:
    """The last one that served has everything; the one that comes first waits for it."""
    lab, ledger, last = pair, Ledger(), other(serving)
    with Recording(lab, ledger, serving) as recording:
        recording.wait_more(500)
        lab.stop(serving)
        lab.wait(last, role="ALONE", readiness="ready")
    with Recording(lab, ledger, last) as recording:
        recording.wait_more(200)
        lab.stop(last)
    lab.start(serving)
    assert lab.status(serving)["role"] == "WAIT"
    lab.start(last)
    assert lab.wait_pair() == last
    assert missing(lab, ledger, last) == []
    wait_equal(lab)


def test_it_is_started_for_its_service_manager_when_nobody_can_write_beside_it(
    pair: MirrorLab, serving: str, tmp_path: Path
) -> None:
    slow = program(tmp_path, {PLACE: {COVERS: f"        __import__('time').sleep(1)\n{COVERS}"}})
    lab, node = pair, other(serving)
    lab.stop(node)
    seen: list[bool] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(lab.path(node, "/run/manager")))
        manager.settimeout(30.0)

        def wait_ready() -> None:
            while b"READY=1" not in manager.recv(4096):
                pass
            known = mounts.mounts(lab.path(node, "/proc/1/mountinfo").read_text())
            seen.append(any(mounts.is_cover(mount, known) for mount in mounts.at(DATA, known)))

        waiting = threading.Thread(target=wait_ready)
        waiting.start()
        lab.start(node, program=("env", "NOTIFY_SOCKET=/run/manager", *slow))
        waiting.join()
    assert seen == [True]
    lab.wait_pair()
