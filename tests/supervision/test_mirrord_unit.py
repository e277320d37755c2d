"""mirrord's unit under a real systemd: its mounts are everybody's, and the application never outlives them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.waiting import until
from tests.supervision.a_systemd import SYSTEMD
from tests.supervision.two_mirrors import DATA, Node, two_mirrors

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(not SYSTEMD.exists(), reason="needs systemd's program, which need not run here"),
]

UNIT = "mirrord@db.service"
COVER, OURS = "ext4", "fuse.mirrord"
STOPPED = ("inactive", False)
RUNS = ("active", True)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    with two_mirrors(tmp_path_factory.mktemp("mirror")) as nodes:
        yield nodes


@pytest.fixture
def pair(both: tuple[Node, Node]) -> tuple[Node, Node]:
    """The node that serves, and the one that follows."""
    for node in both:
        node.wait("PRIM", "SECOND")
    one, other = both
    pair = (one, other) if one.status()["role"] == "PRIM" else (other, one)
    until(lambda: pair[0].application() == RUNS, "the application to run", timeout_s=20)
    return pair


def test_everybody_on_the_machine_sees_the_mounts(pair: tuple[Node, Node]) -> None:
    serving, following = pair
    assert serving.kinds()[-2:] == [COVER, OURS]
    assert following.kinds() == [COVER]
    assert serving.kinds().count(OURS) == 1, "what is mounted over the cover is mounted under it, too"
    written = len(serving.lines())
    until(lambda: len(following.lines()) > written, "what the application writes to be on the other node")
    assert serving.do("cat", f"{DATA}/log").startswith("x\n")
    refused = following.run("touch", f"{DATA}/log")
    assert "Read-only file system" in refused.stderr


def test_a_stop_hands_over_and_leaves_nothing(pair: tuple[Node, Node]) -> None:
    serving, following = pair
    serving.do("systemctl", "stop", UNIT)
    assert serving.show(UNIT, "Result") == "success"
    assert serving.application() == STOPPED
    assert serving.kinds() == []
    following.wait("ALONE")
    assert "clean" in following.lines()
    serving.do("systemctl", "start", UNIT)
    serving.wait("SECOND")


def test_a_restart_of_the_one_that_follows_disturbs_nobody(pair: tuple[Node, Node]) -> None:
    serving, following = pair
    main = serving.show("app.service", "MainPID")
    following.do("systemctl", "restart", UNIT)
    assert following.kinds() == [COVER], "what systemd has started is open"
    following.wait("SECOND")
    assert following.kinds() == [COVER]
    assert serving.show("app.service", "MainPID") == main


def test_killed_with_all_its_processes_it_takes_the_application_along(pair: tuple[Node, Node]) -> None:
    serving, following = pair
    restarts = serving.show(UNIT, "NRestarts")
    serving.run("systemctl", "kill", "--signal=KILL", UNIT)
    until(lambda: serving.application() == ("failed", False), "the application to have been killed", timeout_s=20)
    assert serving.show(UNIT, "NRestarts") == restarts, "the next mirrord had to kill it"
    following.wait("ALONE")
    serving.wait("SECOND")
    assert serving.kinds() == [COVER]
    assert serving.application()[1] is False


def test_a_frozen_one_is_killed_by_the_watchdog_and_comes_back(pair: tuple[Node, Node]) -> None:
    serving, following = pair
    restarts = int(serving.show(UNIT, "NRestarts"))
    serving.do("kill", "-STOP", serving.show(UNIT, "MainPID"))
    following.wait("ALONE")
    serving.wait("SECOND")
    assert int(serving.show(UNIT, "NRestarts")) == restarts + 1
    assert serving.kinds() == [COVER]
    assert serving.application()[1] is False


def test_a_machine_that_shuts_down_stops_the_application_before_its_mount_goes(pair: tuple[Node, Node]) -> None:
    serving, following = pair
    _shut_down(serving)
    following.wait("ALONE")
    # An application that is enabled, too, comes after mirrord in systemd's order.
    following.do("sh", "-c", f"cd /run/units && printf '[Unit]\nBefore={UNIT}\n' >> app.service")
    following.do("systemctl", "daemon-reload")
    _shut_down(following)


def _shut_down(node: Node) -> None:
    until(lambda: node.application() == RUNS, "the application to run", timeout_s=20)
    stopped = node.lines().count("clean")
    node.do("systemctl", "--no-block", "--job-mode=replace-irreversibly", "start", "poweroff.target")
    until(lambda: node.show("off.service", "ActiveState") == "activating", "the machine to be off", timeout_s=20)
    assert node.application() == STOPPED
    assert node.kinds() == []
    assert node.lines().count("clean") == stopped + 1
