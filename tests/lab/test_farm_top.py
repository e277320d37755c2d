"""`farmctl top` on a real terminal before a real farm: nothing it draws is missing from what a daemon says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import machine, services
from lab.network import Lab
from tests.lab.nodes import farmctl, status
from tests.unit.terminals import Terminal

pytestmark = pytest.mark.needs_root


@pytest.fixture
def top(farm: Lab) -> Iterator[Terminal]:
    with Terminal(farm.machine("n1").enter(*services.farmctl("top")), PATH=machine.PATH) as terminal:
        terminal.until_shown("q quit")
        yield terminal
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.restored()


def test_a_node_that_loses_its_power(farm: Lab, top: Terminal) -> None:
    takeovers = status(farm, "n1")["takeovers"]["count"]
    farm.kill("n2")
    top.until_shown("n2 failed")
    top.until_shown(f"takeovers {takeovers + 1}")
    farm.start("n2")
    top.until(lambda: "failed" not in top.text().splitlines()[1], "its return")


def test_a_node_that_is_drained(farm: Lab, top: Terminal) -> None:
    farmctl(farm, "n3", "drain", "n3")
    top.until_shown("n3 draining")
    farmctl(farm, "n3", "undrain", "n3")
    top.until(lambda: "draining" not in top.text().splitlines()[1], "its return")


def test_a_daemon_that_stands_still(farm: Lab, top: Terminal) -> None:
    farm.freeze("n1")
    top.until_shown("farmd did not answer")
    farm.thaw("n1")
    top.until(lambda: "did not answer" not in top.text(), "an answer")
