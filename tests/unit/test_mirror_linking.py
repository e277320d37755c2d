"""Why two nodes do not link, as people are told."""

from __future__ import annotations

import pytest

from mirrord.linking import REASONS_MAX, Linking
from mirrord.orders import Cut, Follow, GoAlone, Linked, NoLink, Order, Unlinked

REFUSED = NoLink("at 10.0.0.2: the certificate is not accepted")


def test_each_reason_is_told_once_until_the_two_are_linked() -> None:
    linking = Linking()
    assert linking.take(REFUSED) == f"the two cannot be linked: {REFUSED.sentence}"
    assert linking.take(REFUSED) == ""
    assert linking.trouble == REFUSED.sentence
    linking.take(Linked())
    assert linking.trouble == ""
    assert linking.take(REFUSED) != ""


def test_made_up_reasons_fill_no_events() -> None:
    linking = Linking()
    told = [linking.take(NoLink(f"reason {number}")) for number in range(3 * REASONS_MAX)]
    assert len(list(filter(None, told))) == REASONS_MAX
    assert linking.trouble == f"reason {3 * REASONS_MAX - 1}"


@pytest.mark.parametrize("order", [Cut(), GoAlone(), None])
def test_it_is_trouble_as_long_as_a_link_is_wanted(order: Order | None) -> None:
    linking = Linking()
    linking.take(REFUSED)
    linking.order(Follow([1, 1]))
    linking.take(Unlinked("no answer"))
    assert linking.trouble
    if order is not None:
        linking.order(order)
    else:
        linking.lose()
    assert not linking.trouble
