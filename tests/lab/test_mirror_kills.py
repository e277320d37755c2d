"""Kill, freeze and switch off either side at random moments, under writers that know what they were promised (M2, M3).

MIRROR_KILLS says how often (200 for the long form), MIRROR_SEED with which seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from signal import SIGKILL

import pytest

from lab.mirror import NODES, MirrorLab, plain
from lab.processes import status_field
from lab.waiting import until
from tests.lab.mirrors import Recording, missing, other, restore, wait_equal
from tests.lab.test_topology import name
from tests.posix.ledger import Ledger

pytestmark = pytest.mark.needs_root

KILLS = int(os.environ.get("MIRROR_KILLS", "6"))
SEED = int(os.environ.get("MIRROR_SEED", "1"))
WITHIN_S = 30.0


@pytest.fixture(scope="module")
def lab() -> Iterator[MirrorLab]:
    with MirrorLab(name("kills"), [plain()]) as built:
        yield built


def power_off(lab: MirrorLab, node: str) -> None:
    lab.kill(node)


def kill_mirrord(lab: MirrorLab, node: str) -> None:
    lab.crash(node)


def kill_volume(lab: MirrorLab, node: str) -> None:
    lab.signal_volume(node, SIGKILL)


def freeze_node(lab: MirrorLab, node: str) -> None:
    lab.freeze_all(node)


def freeze_mirrord(lab: MirrorLab, node: str) -> None:
    lab.freeze(node)


FAULTS: list[Callable[[MirrorLab, str], None]] = [power_off, kill_mirrord, kill_volume, freeze_node, freeze_mirrord]
SIDES = ("serving", "following")


def one_kill(lab: MirrorLab, ledger: Ledger, dice: random.Random, number: int) -> str:
    """Break one side under load, let the other serve, mend it; what was done, in words."""
    serving = restore(lab)
    fault, side = FAULTS[number % len(FAULTS)], SIDES[number // len(FAULTS) % 2]
    victim = serving if side == "serving" else other(serving)
    done = f"{fault.__name__} of {victim}, {side}"
    with Recording(lab, ledger, serving) as recording:
        recording.wait_more(dice.randrange(1, 3000))
        fault(lab, victim)
        if side == "following":
            recording.wait_more(500, WITHIN_S)
        serves = wait_served(lab, victim)
        thaw(lab, victim)  # what was frozen while it served must find out, and promise nothing any more
    assert missing(lab, ledger, serves) == [], f"{done}: on {serves}"
    with Recording(lab, ledger, serves) as recording:
        recording.wait_more(200, WITHIN_S)
        restore(lab)
        recording.wait_more(200, WITHIN_S)
    assert missing(lab, ledger, restore(lab)) == [], f"{done}, mended"
    return done


def wait_served(lab: MirrorLab, victim: str) -> str:
    """Wait until a node serves that may be written to; which one. A frozen one is not asked: it cannot know."""
    frozen = lab.powered(victim) and any(stopped(pid) for pid in lab.pids(victim))
    asked = [other(victim)] if frozen else list(NODES)
    seen: list[str] = []

    def served() -> bool:
        nonlocal seen
        states = {node: lab.status(node) for node in asked if lab.powered(node)}
        ready = {node for node, state in states.items() if state.get("readiness") == "ready"}
        seen = [node for node in ready if states[node]["role"] in ("PRIM", "ALONE")]
        return len(seen) == 1

    until(served, f"a node to serve after {victim} failed", WITHIN_S, interval_s=0.02)
    return seen[0]


def thaw(lab: MirrorLab, node: str) -> None:
    if lab.powered(node):
        lab.thaw_all(node)


def stopped(pid: int) -> bool:
    return status_field(pid, "State").startswith("T")


def test_nothing_that_was_acknowledged_is_ever_missing(lab: MirrorLab) -> None:
    ledger, dice = Ledger(), random.Random(SEED)
    for number in range(KILLS):
        done = one_kill(lab, ledger, dice, number)
        if number % 4 == 3 or number == KILLS - 1:
            wait_equal(lab)
        print(f"{number + 1}: {done}; {ledger.acknowledged} acknowledged", flush=True)
    assert ledger.acknowledged > 500 * KILLS
