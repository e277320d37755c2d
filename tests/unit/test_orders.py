"""What operators decided: the newest order wins, everywhere the same one."""

from __future__ import annotations

from itertools import permutations

from farmd.core.events import Command, Order
from farmd.core.orders import Orders

NODES = frozenset({1, 2, 3})


def test_without_an_order_the_configuration_holds() -> None:
    orders = Orders(NODES)
    assert not orders.drained(2)
    assert orders.weight(2, 70) == 70


def test_a_drained_node_keeps_its_weight_for_later() -> None:
    orders = Orders(NODES)
    orders.give(1, Command(2, weight=30))
    for drained in (True, False):
        orders.give(1, Command(2, drained=drained))
        assert orders.drained(2) == drained
        assert orders.weight(2, 70) == 30


def test_one_wish_leaves_the_other_side_of_the_order_as_it_is() -> None:
    orders = Orders(NODES)
    orders.give(1, Command(2, weight=30))
    orders.give(3, Command(2, drained=True))
    assert orders.drained(2)
    assert orders.weight(2, 100) == 30


def test_a_weight_of_zero_is_a_weight() -> None:
    orders = Orders(NODES)
    orders.give(1, Command(2, weight=0))
    assert orders.weight(2, 100) == 0


def test_an_order_given_later_is_newer_than_all_heard_of() -> None:
    orders = Orders(NODES)
    orders.merge(Order(3, (8, 2), True, None))
    orders.give(1, Command(2, drained=True))
    assert orders.all()[0].stamp == (9, 1)


def test_an_older_order_changes_nothing() -> None:
    orders = Orders(NODES)
    orders.give(2, Command(1, drained=True))
    orders.give(2, Command(1, drained=False))
    orders.merge(Order(1, (1, 3), True, None))
    assert not orders.drained(1)


def test_all_nodes_settle_on_one_order_however_they_hear_of_them() -> None:
    given = [Order(1, (1, 2), True, None), Order(1, (1, 3), False, 5), Order(1, (2, 1), True, 9)]
    for heard in permutations(given):
        orders = Orders(NODES)
        for order in heard:
            orders.merge(order)
        assert orders.all() == (given[-1],)


def test_a_stamp_that_was_used_twice_parts_nobody() -> None:
    """Node 2 gave an order, restarted, and gave another one before it heard of the first."""
    given = [Order(2, (1, 2), False, 10), Order(2, (1, 2), False, None), Order(2, (1, 2), True, 10)]
    settled = set()
    for heard in permutations(given):
        orders = Orders(NODES)
        for order in heard:
            orders.merge(order)
        settled.add(orders.all())
    assert len(settled) == 1


def test_an_order_for_a_node_that_is_not_configured_is_nothing() -> None:
    orders = Orders(NODES)
    orders.merge(Order(9, (5, 1), True, None))
    assert orders.all() == ()
