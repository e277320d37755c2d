"""Two sites behind a real HAProxy, which asks their health pages or their agents (lab/sites.py)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.haproxy import Asking
from lab.sites import Sites, scenes
from tests.lab.test_topology import name


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with Sites(name("sites")) as built:
        yield built


@pytest.mark.parametrize("asking", ["httpchk", "agent-check"])
def test_a_site_is_drained_without_a_failed_request_and_clients_survive_its_death(sites: Sites, asking: Asking) -> None:
    drain, undrain, death, rebirth = scenes(sites, asking)
    assert (drain.failed, undrain.failed, rebirth.failed) == (0, 0, 0)
    assert drain.answers["a"], "site a answers while its drain is announced"
    assert drain.answers["b"] > drain.answers["a"], "HAProxy left site a long before its buckets did"
    assert undrain.answers["a"], "and came back to it"
    # What was under way when the power went is lost; a proxy cannot know whether it was carried out.
    assert death.failed < death.requests / 10
    assert death.answers["a"] > death.answers["b"]
    assert rebirth.answers["b"]
