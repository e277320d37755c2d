"""The application fails while its node does not: killed or frozen, in part or as a whole, once or for good.

It is nginx with a folder that clients upload to, as in lab/examples. They go on all the time, through the virtual
address, and remember what was accepted.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from typing import Self

import pytest

from lab.mirror import NODES, MirrorLab, quick
from lab.topology import LAN
from lab.waiting import until
from tests.lab.mirrors import other, wait_equal
from tests.lab.test_topology import name

pytestmark = pytest.mark.needs_root

FOLDER = "/srv/uploads"
BROKEN = "/run/broken"
"""Where this file exists, nginx does not start."""
URL = "http://10.0.0.210:8080"
CONFIG = "/etc/farmd/uploads.nginx.conf"
RESTARTS_MAX = 2
TEXT = (
    quick("uploads", [FOLDER])
    + f"""
[[service]]
name = "nginx"
start = "/bin/sh -c 'test ! -e {BROKEN} && exec nginx -c {CONFIG}'"
stop = "nginx -c {CONFIG} -s quit"
start_timeout_s = 5
stop_timeout_s = 1
interval_s = 0.2
max_restarts = {RESTARTS_MAX}
restart_window_s = 60

[[check]]
name = "answers"
http = "http://127.0.0.1:8080/"
interval_s = 0.2
timeout_s = 0.5
fall = 2
on_failure = "restart"

[[check]]
name = "master"
process = "@/run/uploads.pid"
interval_s = 0.2
on_failure = "restart"
"""
)
UPLOAD = """
n=$(date +%s%N)
while :; do
    n=$((n + 1))
    if echo "upload $n" | curl -sf --max-time 1 -T - "$1/$n" > /dev/null; then echo $n; else sleep 0.05; fi
done
"""
WITHIN_S = 20.0


class Uploading:
    """A client that uploads one file after the other, from `with` to its end."""

    def __init__(self, lab: MirrorLab) -> None:
        self.accepted: list[int] = []
        self._child = lab.popen(LAN, "sh", "-c", UPLOAD, "upload", URL, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._reader.start()
        self.wait_more()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        self._reader.join(timeout=WITHIN_S)
        self._child.wait()

    def wait_more(self, uploads: int = 5) -> None:
        wanted = len(self.accepted) + uploads
        until(lambda: len(self.accepted) >= wanted, f"{uploads} uploads to be accepted", WITHIN_S)

    def check(self, lab: MirrorLab) -> None:
        """All that was accepted is there, and both nodes have the same."""
        folder = lab.path(lab.wait_pair(), FOLDER)
        assert [number for number in self.accepted if not (folder / f"{number}").is_file()] == []
        assert all((folder / f"{number}").read_text() == f"upload {number}\n" for number in self.accepted)
        wait_equal(lab, FOLDER)

    def _read(self) -> None:
        assert self._child.stdout is not None
        while line := self._child.stdout.readline():
            self.accepted.append(int(line))


@pytest.fixture(scope="module")
def built() -> Iterator[MirrorLab]:
    lab = MirrorLab(name("application"), [TEXT])
    lab.up(start=False)
    try:
        for node in NODES:
            lab.exec(node, "chown", "www-data:", FOLDER)
        lab.start_all()
        yield lab
    finally:
        lab.down()


@pytest.fixture
def lab(built: MirrorLab) -> MirrorLab:
    """A pair in sync that serves, and whose restarts are forgotten."""
    for node in NODES:
        built.exec(node, "rm", "-f", BROKEN)
        built.farmctl(node, "start")
    built.farmctl(built.wait_pair(), "start", "nginx")
    built.wait(built.serving()[0], readiness="ready")
    return built


@pytest.fixture
def uploading(lab: MirrorLab) -> Iterator[Uploading]:
    with Uploading(lab) as client:
        yield client
        client.wait_more()
    client.check(lab)


def processes(lab: MirrorLab, node: str) -> list[str]:
    """The numbers of nginx's processes in a node."""
    return lab.exec(node, "pgrep", "nginx", check=False).stdout.split()


def signal(lab: MirrorLab, node: str, name: str, pids: list[str]) -> None:
    lab.exec(node, "kill", f"-{name}", *pids)


def restarts(lab: MirrorLab, node: str) -> int:
    return int(lab.status(node)["services"][0]["restarts"])


def test_its_first_process_is_killed_and_the_others_do_not_outlive_it(lab: MirrorLab, uploading: Uploading) -> None:
    """nginx's workers go on without their master and hold its port; the restart ends them before it begins."""
    serving = lab.serving()[0]
    former = processes(lab, serving)
    signal(lab, serving, "KILL", lab.exec(serving, "cat", "/run/uploads.pid").stdout.split())
    wait_restarted(lab, serving, former)


def wait_restarted(lab: MirrorLab, node: str, former: list[str]) -> None:
    """Wait until the application runs again where it was, and nothing of it but what is new."""
    assert len(former) > 1, "a master and its workers"
    until(lambda: restarts(lab, node) == 1, "the restart", WITHIN_S)
    lab.wait(node, role="PRIM", readiness="ready", in_sync=True)
    assert not set(former) & set(processes(lab, node))


@pytest.mark.parametrize("how", ["KILL", "STOP"])
def test_all_of_it_killed_or_frozen_is_started_again_where_it_was(
    lab: MirrorLab, uploading: Uploading, how: str
) -> None:
    serving = lab.serving()[0]
    former = processes(lab, serving)
    signal(lab, serving, how, former)
    wait_restarted(lab, serving, former)
    assert restarts(lab, serving) == 1


@pytest.mark.parametrize("how", ["KILL", "STOP"])
def test_it_does_not_come_back_and_the_other_node_takes_over(lab: MirrorLab, uploading: Uploading, how: str) -> None:
    serving = lab.serving()[0]
    lab.exec(serving, "touch", BROKEN)
    signal(lab, serving, how, processes(lab, serving))
    lab.wait(other(serving), role="PRIM", readiness="ready", in_sync=True)
    assert processes(lab, serving) == []
    told = [event["text"] for event in lab.status(serving)["events"]]
    assert any(text.startswith(f"service nginx is given up after {RESTARTS_MAX} restarts") for text in told)
    uploading.wait_more()
    lab.exec(serving, "rm", BROKEN)
    lab.farmctl(serving, "start")
    lab.farmctl(serving, "swap")
    lab.wait(serving, role="PRIM", readiness="ready", in_sync=True)


def test_it_is_frozen_where_a_failing_check_releases_it(lab: MirrorLab) -> None:
    """It does not hear that it shall stop, so it is killed; then the other node has its place."""
    reconfigure(lab, TEXT.replace('on_failure = "restart"', 'on_failure = "release"'))
    serving = lab.serving()[0]
    with Uploading(lab) as client:
        signal(lab, serving, "STOP", processes(lab, serving))
        lab.wait(other(serving), role="PRIM", readiness="ready", in_sync=True)
        assert processes(lab, serving) == []
        assert not any("is restarted" in event["text"] for event in lab.status(serving)["events"])
        client.wait_more()
    client.check(lab)


def reconfigure(lab: MirrorLab, text: str) -> None:
    """Another configuration, on both nodes."""
    for node in NODES:
        lab.stop(node)
        lab.machine(node).write(f"/etc/farmd/{lab.first}.toml", text)
        lab.start(node)
    lab.wait(lab.wait_pair(), readiness="ready")
