"""The journal: what of this node's trees may differ from its peer's after whatever happens next.

Before the first change in a zone the zone is on the disk (`covers`, `mark`); a thread writes, many marks at once, so
the loop never waits for the disk. `cut` and `forget` are the two ends of a checkpoint, see checkpoint.py. In memory the
journal is never more forgetful than on the disk: a mark counts when the disk has it, and what is forgotten in memory is
only a mark too many on the disk. So a disk that is full fails what cannot be marked, but neither the journal nor a
checkpoint.

Two journals complement each other only if both count from the same moment at which both trees were equal. That moment
has a name, `base`: 16 random bytes, made when a comparison of everything has ended. A node that lost its disk, or whose
journal is damaged, has no base, and everything is compared.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mirrord.core.zones import Marks, Zone, ZoneSet
from mirrord.volume.journal.journal_file import FULL, Damaged, Entry, JournalFile, Kind, read
from mirrord.volume.journal.moved import Moved, Notes, Place

VERSION = 1
NO_BASE = bytes(16)

Handler = Callable[[], None]


@dataclass(slots=True)
class _Task:
    """One thing for the writing thread: entries to append, or (`replace`) to hold instead of all there were."""

    entries: list[Entry]
    replace: bool = False
    marks: frozenset[tuple[int, Zone]] = frozenset()
    needs: frozenset[tuple[int, Zone]] = frozenset()
    """The same, and what another task has marked that is under way."""
    then: Handler | None = None
    patient: bool = False
    """On a full disk it is tried again until it is done. Else `then` is called nevertheless."""


class Journal:
    """One for all trees of a mirror. Every method is called by the loop's thread; none waits for the disk but `close`.

    `post` calls a function in the loop's thread, soon. `failure` is a sentence once the disk of the journal has failed:
    nothing can be marked any more, and this node must not serve.
    """

    def __init__(self, path: Path, trees: int, post: Callable[[Handler], None]) -> None:
        """Reads the file; raises OSError if the folder cannot be read or written."""
        self.base = NO_BASE
        self.marks = [Marks() for _ in range(trees)]
        self.moved = [Moved() for _ in range(trees)]
        self.unclean = True
        """When it was opened, the journal had zones or could not be believed."""
        self.distrust = ""
        """Why everything counts as different; empty: it does not."""
        self.failure = ""
        self._post = post
        self._file = JournalFile(path)
        self._pending: set[tuple[int, Zone]] = set()
        self._refused: frozenset[tuple[int, Zone]] = frozenset()
        """For which there was no room on the disk: while those who wait for them are told."""
        self._tasks: deque[_Task] = deque()
        self._ring = threading.Condition()
        self._closing = False
        self._load(path)
        self._file.replace(self._snapshot())
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    # -- marking -------------------------------------------------------------------------------------------------------

    def covers(self, tree: int, zones: Iterable[Zone]) -> bool:
        """Whether a change in these zones may be made now. If not, `mark` them and ask again. OSError, if they were
        marked and the disk was full."""
        if self.marks[tree].covers(zones):
            return True
        if self._refused and any((tree, at) in self._refused for at in zones):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return False

    def mark(self, tree: int, zones: Iterable[Zone], then: Handler | None = None, *, patient: bool = False) -> None:
        """Calls `then` when the disk knows that these zones may differ; or, unless `patient`, that it has no room for
        that: `covers` raises then, as long as `then` has not returned."""
        marks = self.marks[tree]
        wanted = frozenset(
            (tree, at)
            for first in zones
            for at in marks.ahead(first)
            if at not in marks.durable
        )  # fmt: skip
        self._put_marks(_Task([], needs=wanted, then=then, patient=patient))

    def mark_everything(self, then: Handler | None = None) -> None:
        """All trees may differ anywhere, and count from nothing that any peer knows."""
        self.base = NO_BASE
        for marks in self.marks:
            marks.durable.mark_everything()
        self._put(_Task(self._snapshot(), replace=True, then=then, patient=True))

    def note_move(self, tree: int, inode: int, parent: int, name: bytes, place: Place) -> None:
        """This inode leaves that place. Nothing depends on the note, so it waits for other things to be written."""
        if self.moved[tree].note(inode, parent, name, place):
            note = (Kind.MOVED, tree, self.moved[tree].notes.pack_one(inode))
            self._tasks.append(_Task([note]))

    # -- forgetting ----------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """A checkpoint begins: changes from here on are not part of it."""
        for marks in self.marks:
            marks.cut()
        for moved in self.moved:
            moved.cut()

    def forget(self, still: Sequence[ZoneSet], then: Handler | None = None, *, base: bytes | None = None) -> None:
        """Everything before the cut is on both disks, but for what is not compared yet: `still`, for each tree."""
        for marks, kept in zip(self.marks, still, strict=True):
            marks.forget(kept)
        for moved, kept in zip(self.moved, still, strict=True):
            if not kept:
                moved.forget()
        if base is not None:
            self.base = base
        # Without a new base, marks too many on the disk are no harm.
        self._put(_Task(self._snapshot(), replace=True, then=then, patient=base is not None))

    def clear(self, base: bytes, then: Handler | None = None) -> None:
        """The peer leads, both trees are equal and on both disks."""
        self.cut()
        self.cut()
        self.forget([ZoneSet() for _ in self.marks], then, base=base)

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def zones(self) -> int:
        """How many entries the journal has."""
        return sum(len(marks.durable) for marks in self.marks)

    def has_room(self) -> bool:
        """Whether there is no need for a checkpoint to make the journal small."""
        return all(len(marks.durable.single) < SMALL for marks in self.marks)

    def notes(self, tree: int) -> Notes:
        """Where what has been moved was before."""
        return self.moved[tree].all()

    def close(self) -> None:
        """Writes what is left to write, and ends the thread."""
        with self._ring:
            self._closing = True
            self._ring.notify()
        self._thread.join()
        self._file.close()

    # -- the file ------------------------------------------------------------------------------------------------------

    def _load(self, path: Path) -> None:
        try:
            entries = list(read(path.read_bytes()))
            self.base = _base(entries)
            for kind, tree, payload in entries[1:]:
                self._restore(kind, tree, payload)
        except FileNotFoundError:
            self._disbelieve("there is none")
        except Damaged as error:
            self._disbelieve(str(error))
        self.unclean = any(marks.durable for marks in self.marks)

    def _restore(self, kind: Kind, tree: int, payload: bytes) -> None:
        if tree >= len(self.marks):
            raise Damaged("it is about more directories than are configured")
        durable = self.marks[tree].durable
        match kind:
            case Kind.ZONES:
                for at in _numbers(payload):
                    durable.add(at)
            case Kind.GROUPS:
                durable.mark_groups(_numbers(payload))
            case Kind.EVERYTHING:
                durable.mark_everything()
            case Kind.MOVED:
                self.moved[tree].notes.unpack_into(payload)
            case Kind.BASE:
                raise Damaged("it has two beginnings")

    def _disbelieve(self, why: str) -> None:
        self.base = NO_BASE
        self.distrust = f"the journal is not believed: {why}"
        for marks in self.marks:
            marks.durable.mark_everything()

    def _snapshot(self) -> list[Entry]:
        """All that the file has to hold, with marks that are still on their way to it."""
        entries: list[Entry] = [(Kind.BASE, len(self.marks), bytes([VERSION]) + self.base)]
        for tree, marks in enumerate(self.marks):
            if marks.durable.everything:
                entries.append((Kind.EVERYTHING, tree, b""))
            entries.append((Kind.ZONES, tree, _pack_numbers(marks.durable.single)))
            entries.append((Kind.GROUPS, tree, _pack_numbers(marks.durable.groups)))
            entries.append((Kind.MOVED, tree, self.notes(tree).pack()))
        return [*entries, *_zone_entries(self._pending)]

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _put_marks(self, task: _Task) -> None:
        """Also without anything new: what another caller has marked is under way, and this task is done after it."""
        task.marks = task.needs - self._pending
        task.entries = _zone_entries(task.marks)
        self._pending |= task.marks
        self._put(task)

    def _put(self, task: _Task) -> None:
        with self._ring:
            self._tasks.append(task)
            self._ring.notify()

    def _write(self) -> None:
        while tasks := self._take():
            try:
                self._carry_out(tasks)
            except OSError as error:
                if error.errno not in FULL:
                    self.failure = f"the journal cannot be written: {error.strerror}"
                    return
                self._post(partial(self._refuse, tasks))
                self._pause(tasks)
            else:
                self._post(partial(self._settle, tasks))

    def _pause(self, tasks: list[_Task]) -> None:
        """Before what is patient is tried again."""
        if any(task.patient for task in tasks) and not self._closing:
            time.sleep(_AGAIN_S)

    def _take(self) -> list[_Task]:
        with self._ring:
            while not self._tasks and not self._closing:
                self._ring.wait(_NOTES_WAIT_S)
            return [self._tasks.popleft() for _ in range(len(self._tasks))]

    def _carry_out(self, tasks: list[_Task]) -> None:
        """Of several replacements the last one says all; what comes after it is appended as one frame."""
        last = max((number for number, task in enumerate(tasks) if task.replace), default=-1)
        if last >= 0:
            self._file.replace(tasks[last].entries)
        rest = [entry for task in tasks[last + 1 :] for entry in task.entries]
        if rest:
            self._file.append(rest)

    def _settle(self, tasks: list[_Task]) -> None:
        """In the loop's thread: the disk has them."""
        for task in tasks:
            for tree, at in task.marks:
                self._pending.discard((tree, at))
                self.marks[tree].durable.add(at)
        for task in tasks:
            if any(at not in self.marks[tree].durable for tree, at in task.needs):
                self._put_marks(task)  # the disk was full when another caller's came to it
            elif task.then is not None:
                task.then()

    def _refuse(self, tasks: list[_Task]) -> None:
        """In the loop's thread: the disk is full, and has none of them, as far as anybody may rely on it."""
        for task in tasks:
            self._pending -= task.marks
        for task in tasks:
            if not task.patient:
                self._refused = task.needs
                if task.then is not None:
                    task.then()
                self._refused = frozenset()
            elif task.replace:
                self._put(_Task(self._snapshot(), replace=True, then=task.then, patient=True))
            else:
                self._put_marks(task)


_AGAIN_S = 0.5
_NOTES_WAIT_S = 1.0
"""So long a note of a move waits for something that has to be written anyway."""
SMALL = 1 << 14
"""More single zones than this in a tree are a reason for a checkpoint."""


def _zone_entries(marks: Iterable[tuple[int, Zone]]) -> list[Entry]:
    of_tree: dict[int, list[Zone]] = {}
    for tree, at in marks:
        of_tree.setdefault(tree, []).append(at)
    return [(Kind.ZONES, tree, _pack_numbers(zones)) for tree, zones in of_tree.items()]


def _pack_numbers(numbers: Iterable[int]) -> bytes:
    """A zone takes more than 64 bits where inode numbers do: XFS uses 64 of them."""
    return b"".join(number.to_bytes(12, "little") for number in numbers)


def _numbers(payload: bytes) -> Iterator[int]:
    return (int.from_bytes(payload[at : at + 12], "little") for at in range(0, len(payload), 12))


def _base(entries: Sequence[Entry]) -> bytes:
    if not entries or entries[0][0] is not Kind.BASE:
        raise Damaged("it has no beginning")
    payload = entries[0][2]
    if payload[0] != VERSION:
        raise Damaged(f"it is of version {payload[0]}, and this program writes {VERSION}")
    return payload[1:]
