"""The simulation notices when a safeguard is missing; a check that never fails proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from farmd.core import buckets, lease
from farmd.core.follower import Follower
from farmd.core.membership import Membership
from farmd.core.standing import Standing
from tests.sim.hostile_run import Violated, hostile_runs

SEEDS = range(100)


def cap_nothing(*_: Any) -> int:
    return lease.NO_CAP


def never(*_: Any, **__: Any) -> bool:
    return False


def always(*_: Any, **__: Any) -> bool:
    return True


SAFEGUARDS = {
    "the cap on the lease": (lease, "cap", cap_nothing),
    "losers release first": (buckets, "holds", never),
    "gainers wait for the release": (Follower, "_has_released", always),
    "the conditions of a promise": (Follower, "_may_promise", always),
    "closing when left out": (Membership, "_check_exclusion", never),
    "who is not ready is given no buckets": (Standing, "draining", never),
}


@pytest.mark.parametrize("safeguard", SAFEGUARDS)
def test_the_simulation_notices_when_a_safeguard_is_missing(safeguard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, broken = SAFEGUARDS[safeguard]
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises(Violated, match=r"I[146]: "):
        hostile_runs(SEEDS)


def test_a_violation_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "holds", never)
    said = set()
    for _ in range(2):
        with pytest.raises(Violated) as violated:
            hostile_runs(SEEDS)
        said.add(str(violated.value))
    (text,) = said
    assert "FARMD_SIM_FIRST=" in text
    assert "loss=" in text
