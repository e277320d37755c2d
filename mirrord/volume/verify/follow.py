"""The secondary's side of verify: it looks at names, and says which are not as the primary's. Nothing is repaired.

What it sees is what it had when the stream got to the question, so the answer is exact for every name by itself.
Content is compared as in a resync (`resync_follow`, DIGESTS with the flag LOOK).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from mirrord.volume.files import syscalls
from mirrord.volume.files.followed_tree import FollowedTree
from mirrord.volume.link.records import Kind, Record
from mirrord.volume.resync.listing import Entry, describe, differences, read_entry, unpack_entries
from mirrord.volume.resync.records import FIRST, LAST
from mirrord.volume.verify.records import ANOTHER, EXTRA, LINKS, MISSING, Difference, pack_differences

_EACH = 256
"""Names in one answer."""


class Onlooker:
    """One link's. `answer`: sends a record to the primary."""

    def __init__(self, trees: Sequence[FollowedTree], answer: Callable[[Record], None]) -> None:
        self._trees = trees
        self._answer = answer
        self._names: set[bytes] = set()
        """Of the folder that is being listed."""

    def look(self, record: Record) -> None:
        """Takes a LOOK. Raises OSError or UnknownNode."""
        found = self._look(record)
        while part := list(islice(found, _EACH)):
            self._tell(record, 0, part)
        self._tell(record, LAST, [])

    def _look(self, record: Record) -> Iterator[Difference]:
        tree = self._trees[record.tree]
        fd = tree.descriptor(record.node)
        if record.flags & FIRST:
            self._names = set()
        for wanted in unpack_entries(record.payload):
            self._names.add(wanted.name)
            if words := _words(tree, record.node, fd, wanted):
                yield Difference(wanted.name, words)
        if record.flags & LAST:
            for name in map(os.fsencode, os.listdir(fd)):
                if name not in self._names:
                    yield Difference(name, (EXTRA,))

    def _tell(self, record: Record, flags: int, found: list[Difference]) -> None:
        payload = pack_differences(found)
        self._answer(Record(Kind.LOOKED, record.tree, record.node, 0, flags, payload))


def _words(tree: FollowedTree, folder: int, fd: int, wanted: Entry) -> tuple[str, ...]:
    """In which ways ours is not as it should be; no words: in none."""
    try:
        have = read_entry(fd, wanted.name) if wanted.name else describe(fd, node=folder)
    except FileNotFoundError:
        return (MISSING,) if wanted.mode else ()
    if not wanted.mode:
        return (EXTRA,)
    words = list(differences(have, wanted))
    if have.links != wanted.links and not have.is_folder:
        words.append(LINKS)
    difference = Difference(wanted.name, tuple(words))
    if wanted.name and difference.same_object and _is_another(tree, fd, wanted):
        return (*words, ANOTHER)
    return difference.words


def _is_another(tree: FollowedTree, fd: int, wanted: Entry) -> bool:
    """Whether what the primary calls by this id is known here, and is not what has the name."""
    known = tree.known(wanted.node, wanted.mode >> 12)
    return known is not None and known != syscalls.handle_of(fd, wanted.name)
