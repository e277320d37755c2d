"""What operators decided, spread with the heartbeats so that it survives the node where it was said."""

from __future__ import annotations

from dataclasses import replace

from farmd.core.events import Command, Order


class Orders:
    """The newest order for each node that has one."""

    def __init__(self, nodes: frozenset[int]) -> None:
        self._nodes = nodes
        self._newest: dict[int, Order] = {}

    def all(self) -> tuple[Order, ...]:
        return tuple(self._newest[node] for node in sorted(self._newest))

    def give(self, by: int, command: Command) -> None:
        """Takes an operator's wish, given at node `by`: newer than everything heard of so far."""
        counter = max((order.stamp[0] for order in self._newest.values()), default=0) + 1
        order = self._newest.get(command.node, Order(command.node, (0, 0), False, None))
        order = replace(order, stamp=(counter, by))
        if command.drained is not None:
            order = replace(order, drained=command.drained)
        if command.weight is not None:
            order = replace(order, weight=command.weight)
        self.merge(order)

    def merge(self, order: Order) -> None:
        """Takes an order that a peer told about, unless ours is newer."""
        known = self._newest.get(order.node)
        if order.node in self._nodes and (known is None or _rank(order) > _rank(known)):
            self._newest[order.node] = order

    def drained(self, node: int) -> bool:
        order = self._newest.get(node)
        return order is not None and order.drained

    def weight(self, node: int, configured: int) -> int:
        """The weight that counts: as ordered, else as configured."""
        order = self._newest.get(node)
        return configured if order is None or order.weight is None else order.weight


def _rank(order: Order) -> tuple[tuple[int, int], bool, int]:
    """The greater of two orders holds. A node that has restarted and has not yet heard of its earlier orders may use a
    stamp once more; then the rest decides, so that all nodes hold the same."""
    return order.stamp, order.drained, -1 if order.weight is None else order.weight
