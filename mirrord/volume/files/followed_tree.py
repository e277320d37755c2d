"""The tree on the secondary: node ids are the primary's, the objects behind them our own."""

from __future__ import annotations

from mirrord.volume.files.syscalls import Attributes
from mirrord.volume.files.tree import Node, Tree

DROPPED_EACH = 1000
"""Nodes at once: about 1 ms."""


class FollowedTree(Tree):
    """A tree that also knows by which id an object of ours is called, so that a resync never takes one object for two
    of the primary's."""

    def __init__(self, number: int, root: int, **options: int) -> None:
        super().__init__(number, root, **options)
        self.ids: dict[bytes, int] = {node.handle: node.id for node in self.nodes.values()}
        self._listed: set[int] = set()
        """Known by a resync's listing only."""

    def close(self) -> None:
        super().close()
        self.ids.clear()

    def adopt(self, node: int, handle: bytes, kind: int) -> Node:
        adopted = super().adopt(node, handle, kind)
        self.ids[handle] = node
        return adopted

    def adopt_listed(self, node: int, handle: bytes, kind: int) -> None:
        """The same, until the resync is over or the primary binds it."""
        if node not in self.nodes:
            self._listed.add(node)
        self.adopt(node, handle, kind)

    def drop_listed(self) -> bool:
        """The resync is over: what the primary did not bind, it does not count as known. Whether more of it is left."""
        for _ in range(min(DROPPED_EACH, len(self._listed))):
            self.drop(self._listed.pop())
        return bool(self._listed)

    def bind(self, folder: int, name: bytes, node: int) -> Attributes:
        self._listed.discard(node)
        return super().bind(folder, name, node)

    def drop(self, node: int) -> None:
        known = self.nodes.get(node)
        if known is not None and self.ids.get(known.handle) == node:
            del self.ids[known.handle]
        super().drop(node)

    def known(self, node: int, kind: int) -> bytes | None:
        """The handle of what is called so, if nothing else took its place and it is of this kind."""
        known = self.nodes.get(node)
        if known is None or known.kind != kind or self.ids.get(known.handle) != node:
            return None
        return known.handle
