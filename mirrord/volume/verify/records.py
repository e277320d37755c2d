"""What the two nodes tell each other when they only look: entries as in a listing, and which of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mirrord.volume.resync.listing import Entry
from mirrord.volume.resync.records import pack_strings, unpack_strings

MISSING = "not on the other node"
EXTRA = "only on the other node"
LINKS = "hard links"
ANOTHER = "not the file that changes go to"
CONTENT = "content"

_HARMLESS = frozenset(("permissions", "owner", "extended attributes", "modification time"))


@dataclass(frozen=True, slots=True)
class Difference:
    """A name in a folder, empty for the folder itself, and in which ways the peer's is another."""

    name: bytes
    words: tuple[str, ...]

    @property
    def same_object(self) -> bool:
        """Whether the peer has the same thing of this name, so that the thing may be mentioned to it."""
        return _HARMLESS.issuperset(self.words)


def absent(name: bytes) -> Entry:
    """Says that there is nothing of this name."""
    return Entry(name, 0, 0, 0, 0, 0, 0, 0, 0, 0, b"", ())


def pack_differences(differences: Iterable[Difference]) -> bytes:
    return b"".join(pack_strings(each.name + b"\0" + ", ".join(each.words).encode() for each in differences))


def unpack_differences(payload: bytes) -> Iterator[Difference]:
    for string in unpack_strings(payload):
        name, _, words = string.partition(b"\0")
        yield Difference(name, tuple(words.decode().split(", ")))
