"""Zones: how coarsely a node remembers which parts of its trees may differ from its peer's.

A zone is 4 MiB of a file, for 64 neighbouring inode numbers at once: the pair (inode number >> 6, offset >> 22). The
first zone of a group also stands for everything that is not content: owner, mode, times, extended attributes and, of
directories, the names in them. A tree of a million files that all changed is sixteen thousand zones, a file of a
terabyte a quarter of a million; above a limit whole groups are remembered, and above another the whole tree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

GROUP_BITS = 6
CHUNK_BITS = 22
CHUNK_BYTES = 1 << CHUNK_BITS
CHUNK_NUMBER_BITS = 41
"""Offsets of files are below 2**63."""

ZONES_MAX = 1 << 16
"""Zones remembered one by one, for each tree; about 5 MB of memory."""
GROUPS_MAX = 1 << 16
"""Groups remembered as a whole, for each tree."""
AHEAD = 16
"""How many zones are marked at once where a file is written from one end to the other: 64 MiB, so that a disk that
needs 10 ms for a mark slows a stream of 1,000 MB/s by less than a sixth even if it had to wait for each."""

MOVED_AT = (1 << CHUNK_NUMBER_BITS) - 1 << CHUNK_BITS
"""The offset, behind every file's end, of the zone that says: a folder among these inodes has got another name."""

GROUP_AT = (1 << CHUNK_NUMBER_BITS) - 2 << CHUNK_BITS
"""The offset of the zone that stands for its whole group, whatever is in the files: for what reaches further than is
worth saying zone by zone."""

RANGE_ZONES_MAX = 1 << 10
"""What changes more zones than this at once, 4 GiB or more of a file, marks its group as a whole: to find and mark a
million zones would hold up everybody else for seconds, and to compare the group takes no longer than to send what a
crash in between may have left of that change."""

Zone = int


def zone(inode: int, offset: int = 0) -> Zone:
    """The zone of a byte of a file; without an offset, that of what is not content."""
    return (inode >> GROUP_BITS) << CHUNK_NUMBER_BITS | offset >> CHUNK_BITS


def of_range(inode: int, offset: int, size: int) -> Iterable[Zone]:
    """The zones of `size` bytes from `offset` on; the first one for none. Of too many, the one of their group."""
    first = zone(inode, offset)
    count = ((offset & CHUNK_BYTES - 1) + max(size, 1) - 1 >> CHUNK_BITS) + 1
    return range(first, first + count) if count <= RANGE_ZONES_MAX else (zone(inode, GROUP_AT),)


def group_of(at: Zone) -> int:
    return at >> CHUNK_NUMBER_BITS


def chunk_of(at: Zone) -> int:
    return at & (1 << CHUNK_NUMBER_BITS) - 1


_WHOLE = GROUP_AT >> CHUNK_BITS


@dataclass(slots=True)
class ZoneSet:
    """A set of zones of one tree, never smaller than what was put in, and of bounded size."""

    single: set[Zone] = field(default_factory=set)
    groups: set[int] = field(default_factory=set)
    """Of these every zone is in the set."""
    everything: bool = False

    def __contains__(self, at: Zone) -> bool:
        return at in self.single or self.everything or at >> CHUNK_NUMBER_BITS in self.groups

    def __bool__(self) -> bool:
        return self.everything or bool(self.single) or bool(self.groups)

    def __len__(self) -> int:
        """How many entries it takes to say the set."""
        return 1 if self.everything else len(self.single) + len(self.groups)

    def add(self, at: Zone) -> None:
        if chunk_of(at) == _WHOLE:
            self.mark_groups((group_of(at),))
        elif at not in self:
            self.single.add(at)
            if len(self.single) > ZONES_MAX:
                self._coarsen()

    def update(self, other: ZoneSet) -> None:
        if other.everything:
            self.mark_everything()
        else:
            self.mark_groups(other.groups)
            for at in other.single:
                self.add(at)

    def mark_groups(self, groups: Iterable[int]) -> None:
        if self.everything:
            return
        new = set(groups) - self.groups
        self.groups |= new
        if new:
            self.single = {at for at in self.single if group_of(at) not in new}
        if len(self.groups) > GROUPS_MAX:
            self.mark_everything()

    def mark_everything(self) -> None:
        self.everything = True
        self.single.clear()
        self.groups.clear()

    def copy(self) -> ZoneSet:
        return ZoneSet(set(self.single), set(self.groups), self.everything)

    def _coarsen(self) -> None:
        """Make room: the groups with the most zones are remembered as a whole until half of the room is free."""
        crowded = Counter(map(group_of, self.single)).most_common()
        left, chosen = len(self.single), []
        for group, count in crowded:
            if left <= ZONES_MAX // 2:
                break
            chosen.append(group)
            left -= count
        self.mark_groups(chosen)


@dataclass(slots=True)
class Index:
    """A set of zones, arranged for the question of a walk: what of this inode is in it?"""

    zones: ZoneSet
    _chunks: dict[int, list[int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for at in sorted(self.zones.single):
            self._chunks.setdefault(group_of(at), []).append(chunk_of(at))

    def __contains__(self, inode: int) -> bool:
        return self.zones.everything or inode >> GROUP_BITS in self._chunks or inode >> GROUP_BITS in self.zones.groups

    def has_moved(self, inode: int) -> bool:
        """Whether this folder may have got another name."""
        return zone(inode, MOVED_AT) in self.zones

    def chunks(self, inode: int, size: int) -> list[int] | None:
        """The numbers of a file's chunks that are in the set, in order, as far as the file reaches; None: all."""
        group = inode >> GROUP_BITS
        if self.zones.everything or group in self.zones.groups:
            return None
        count = size + CHUNK_BYTES - 1 >> CHUNK_BITS
        return [number for number in self._chunks.get(group, ()) if number < count]


@dataclass(slots=True)
class Marks:
    """What a node remembers of one tree, and the rule by which it forgets.

    A change may be made only in a zone that is in `durable`, which is never more than what the disk says. A checkpoint
    cuts time: what was changed before the cut is brought to both disks, and then only zones changed since are needed.
    Those changed between the last two cuts are kept as well: a zone that is changed all the time is then marked once
    and never again, and a crash costs the comparison of one more interval.
    """

    durable: ZoneSet = field(default_factory=ZoneSet)
    recent: ZoneSet = field(default_factory=ZoneSet)
    """Changed since the last cut."""
    earlier: ZoneSet = field(default_factory=ZoneSet)
    """Changed between the last two cuts."""

    def covers(self, zones: Iterable[Zone]) -> bool:
        """Whether a change in all of them may be made now; if so, it is remembered that one is."""
        recent = self.recent
        for at in zones:
            if at not in recent.single:
                if at not in self.durable:
                    return False
                recent.add(at)
        return True

    def ahead(self, at: Zone) -> range:
        """What to mark together with a zone: more of the file, where it is being written from its start to its end."""
        sequential = chunk_of(at) > 0 and at - 1 in self.recent
        return range(at, at + AHEAD) if sequential else range(at, at + 1)

    def cut(self) -> None:
        self.earlier, self.recent = self.recent, ZoneSet()

    def forget(self, still: ZoneSet) -> None:
        """What was changed before the last cut is on both disks: all is forgotten but what changed later, or shortly
        before, and `still`, which nobody has compared yet."""
        kept = still.copy()
        kept.update(self.earlier)
        kept.update(self.recent)
        self.durable = kept
