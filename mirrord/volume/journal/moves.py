"""What a rename or a removal means for the journal's notes of where things were."""

from __future__ import annotations

from mirrord.volume.files import syscalls
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import DIRECTORY, FILE
from mirrord.volume.journal.journal import Journal
from mirrord.volume.link.records import Kind, Record

WORTH_NOTING_BYTES = 1 << 20
"""A smaller file is sent again in no time."""

_EXCHANGE = 2  # RENAME_EXCHANGE


def note(journal: Journal, tree: ServedTree, record: Record) -> None:
    """A RENAME that has just been carried out."""
    assert record.kind == Kind.RENAME
    old, _, new = bytes(record.payload).partition(b"\0")
    _note(journal, tree, (record.node, old), (record.offset, new))
    if record.flags & _EXCHANGE:
        _note(journal, tree, (record.offset, new), (record.node, old))


def _note(journal: Journal, tree: ServedTree, was: tuple[int, bytes], now: tuple[int, bytes]) -> None:
    folder, name = now
    try:
        found = syscalls.statx(tree.descriptor(folder), name)
    except OSError:
        return
    kind = found.mode >> 12
    if kind == DIRECTORY or (kind == FILE and found.size >= WORTH_NOTING_BYTES):
        journal.note_move(tree.number, found.ino, *was, lambda inode: _place(tree, inode))


def _place(tree: ServedTree, inode: int) -> tuple[int, bytes] | None:
    node = tree.nodes.get(inode)
    if node is None or node.parent is None:
        return None
    return node.parent.id, node.name
