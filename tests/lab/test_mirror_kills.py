"""Kill, freeze and switch off either side at random moments, under writers that know what they were promised (M2, M3).

MIRROR_KILLS says how often (200 for the long form), MIRROR_SEED with which seed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from lab.mirror import MirrorLab, plain
from tests.lab.mirror_faults import (
    Fault,
    freeze_mirrord,
    freeze_node,
    freeze_volume,
    kill_mirrord,
    kill_processes,
    kill_volume,
    power_off,
    thaw,
    wait_served,
)
from tests.lab.mirrors import Recording, mend, missing, other, restore, wait_equal
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


def kill_application(lab: MirrorLab, node: str) -> None:
    """Those that write, in the middle of their calls."""
    kill_processes(lab, node, b"tests.posix.recorder")


FAULTS: list[Fault] = [power_off, kill_mirrord, kill_volume, freeze_node, freeze_mirrord, freeze_volume]
SIDES = ("serving", "following")
HAND = [(fault, side) for side in SIDES for fault in FAULTS] + [(kill_application, "serving")]
AGAIN = [power_off, kill_mirrord, kill_volume]
"""What may happen to the one that comes back, before it is in sync or soon after."""


def one_kill(lab: MirrorLab, ledger: Ledger, dice: random.Random, fault: Fault, side: str) -> str:
    """Break one side under load, let the other serve, mend it; what was done, in words."""
    serving = restore(lab)
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
        mend(lab)
        if dice.random() < 0.3:
            recording.wait_more(dice.randrange(1, 500), WITHIN_S)
            again = dice.choice(AGAIN)
            again(lab, other(serves))
            done += f", and {again.__name__} when it came back"
        restore(lab)
        recording.wait_more(200, WITHIN_S)
    assert missing(lab, ledger, restore(lab)) == [], f"{done}, mended"
    return done


def test_nothing_that_was_acknowledged_is_ever_missing(lab: MirrorLab) -> None:
    ledger, dice = Ledger(), random.Random(SEED)
    hand: list[tuple[Fault, str]] = []
    for number in range(KILLS):
        hand = hand or dice.sample(HAND, len(HAND))
        done = one_kill(lab, ledger, dice, *hand.pop())
        if number % 4 == 3 or number == KILLS - 1:
            wait_equal(lab)
        print(f"{number + 1}: {done}; {ledger.acknowledged} acknowledged", flush=True)
    assert ledger.acknowledged > 500 * KILLS
