"""Whether the peer has the way to a folder or file, and what has to be dealt with before it has."""

from __future__ import annotations

from collections.abc import Container

from mirrord.core.plan import Plan
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import ROOT
from mirrord.volume.resync.names import Names


class Reach:
    """In one tree. compared: the files that are being compared now; these wait for themselves."""

    def __init__(self, tree: ServedTree, plan: Plan, names: Names, compared: Container[int]) -> None:
        self._tree = tree
        self._plan = plan
        self._names = names
        self._compared = compared

    def folder_blocked_by(self, folder: int) -> int | None:
        """The folder that has to be dealt with before this one is listed, whether the peer knows it or not: it may have
        it elsewhere yet, inside of something that is listed in it now, and no folder can be moved into itself."""
        return folder if folder in self._compared else self._unsettled_above(folder)

    def file_blocked_by(self, node: int) -> int | None:
        """The folder without which the peer has no way to it, or the file itself that is being compared."""
        if node in self._compared:
            return node
        if node in self._tree.bound or self._tree.is_orphan(node):
            return None
        return self._unsettled_above(node)

    def is_placed(self, node: int) -> bool:
        """Whether the peer has it where we have it. Raises LookupError or OSError if we have it no more."""
        return self._plan.is_settled(self._names.above(node))

    def make_known(self, node: int) -> bool:
        """Introduce it to the peer, unless it knows it; whether it does then. The kernel may have forgotten it since,
        and so the peer was told to; and what is above it may have become something that the peer does not have."""
        if node == ROOT or node in self._tree.bound:
            return True
        try:
            if self.is_placed(node):
                self._names.introduce(node)
        except (OSError, LookupError):
            return False
        return node in self._tree.bound

    def _unsettled_above(self, node: int) -> int | None:
        """What is gone is dealt with when it is tried."""
        try:
            return self._plan.first_unsettled(self._names.above(node))
        except (OSError, LookupError):
            return None
