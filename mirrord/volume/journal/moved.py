"""Where what has been moved was at the peer, so that a renamed folder is renamed there and not sent again.

A note is a hint and nothing more: a resync that follows a wrong or an old one only finds more to repair. So notes are
few, nobody waits for one to reach the disk, and any of them may be lost.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

NOTES_MAX = 10_000
_NOTE = struct.Struct("<QI")

Place = Callable[[int], tuple[int, bytes] | None]
"""Where a folder is now: its parent's node id and its name; None for the root."""


@dataclass(slots=True)
class Notes:
    """Inode number -> the path, from the tree's root, at which its object was."""

    paths: dict[int, bytes] = field(default_factory=dict)

    def pack(self) -> bytes:
        return b"".join(map(self.pack_one, self.paths))

    def pack_one(self, inode: int) -> bytes:
        path = self.paths[inode]
        return _NOTE.pack(inode, len(path)) + path

    def unpack_into(self, payload: bytes) -> None:
        at = 0
        while at < len(payload):
            inode, size = _NOTE.unpack_from(payload, at)
            at += _NOTE.size + size
            self.paths.setdefault(inode, payload[at - size : at])


@dataclass(slots=True)
class Moved:
    """The notes of one tree, with the same two ages as its zones: see `mirrord.core.zones.Marks`."""

    notes: Notes = field(default_factory=Notes)
    """Since the last cut."""
    earlier: Notes = field(default_factory=Notes)

    def note(self, inode: int, parent: int, name: bytes, place: Place) -> bool:
        """An object leaves this place, by a rename or because it is a folder that is removed. Whether that is new:
        only the first place counts. Folders above it that have moved themselves are looked for where they were."""
        if inode in self.notes.paths or len(self.notes.paths) >= NOTES_MAX:
            return False
        self.notes.paths[inode] = self._path(parent, name, place)
        return True

    def cut(self) -> None:
        merged = self.all() if self.earlier.paths else self.notes
        self.earlier, self.notes = merged, Notes()

    def forget(self) -> None:
        self.earlier = Notes()

    def all(self) -> Notes:
        """The older note counts where there are two."""
        return Notes({**self.notes.paths, **self.earlier.paths})

    def _path(self, parent: int, name: bytes, place: Place) -> bytes:
        names = [name]
        known = self.all().paths
        inode = parent
        while inode not in known and (at := place(inode)) is not None:
            inode, above = at
            names.append(above)
        if inode in known:
            names.append(known[inode])
        return b"/".join(reversed(names))
