"""What a recorder was promised, and the proof that all of it is there.

For each thing that was written the ledger knows the operations that may be what is found: the newest acknowledged one,
and whatever was tried after it. Something older is a lost write; something else is corruption. After a loss of power
on both nodes only what was synced is promised (`durable`): then the newest synced operation takes that place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.posix.recorder import RECORD_BYTES, SLOT_BYTES, SLOTS, content

ABSENT = "absent"


@dataclass(slots=True)
class Thing:
    """A slot, or a name. Its operations in order, with the oldest that may still be found first."""

    tried: list[tuple[int, str]] = field(default_factory=lambda: [(0, ABSENT)])
    """Number and kind; 0 is what was there before the first one."""
    acknowledged: int = 0
    synced: int = 0

    def may_be(self, durable: bool) -> list[tuple[int, str]]:
        floor = self.synced if durable else self.acknowledged
        return [one for one in self.tried if one[0] >= floor]

    def forget(self) -> None:
        """What cannot be found any more."""
        self.tried = [one for one in self.tried if one[0] >= min(self.acknowledged, self.synced)]


@dataclass(slots=True)
class Log:
    """A file that was only appended to: how many records were tried, acknowledged, synced."""

    tried: int = 0
    acknowledged: int = 0
    synced: int = 0


class Ledger:
    """Everything that recorders of one directory were promised, over any number of runs."""

    def __init__(self) -> None:
        self.acknowledged = 0
        """How many operations."""
        self.last = 0
        """The highest number that was tried: the next run begins above it."""
        self.ended: list[str] = []
        """The errors that ended workers."""
        self._things: dict[tuple[int, str], Thing] = {}
        self._logs: dict[tuple[int, str], Log] = {}
        self._folders: set[int] = set()

    def read(self, lines: Iterable[str | bytes]) -> None:
        """Takes over what a recorder printed; a last line that was cut off counts for nothing."""
        for line in lines:
            text = line.decode() if isinstance(line, bytes) else line
            words = text.split()
            if text.endswith("\n") and len(words) == 5:
                self._take(words[0], int(words[1]), words[2], words[3], int(words[4]))

    def check(self, directory: Path, durable: bool = False) -> list[str]:
        """What is not there as promised, one sentence for each thing; empty if all is well."""
        found = [f"{directory}/w{worker} is missing" for worker in self._folders if not _folder(directory, worker)]
        for (worker, what), thing in sorted(self._things.items()):
            look = _slot if what.startswith("slot ") else _name
            found += _judged(f"w{worker} {what}", look(directory, worker, what), thing.may_be(durable))
        for (worker, name), log in sorted(self._logs.items()):
            found += _check_log(directory, worker, name, log, durable)
        return found

    def _take(self, phase: str, worker: int, kind: str, what: str, number: int) -> None:
        self.last = max(self.last, number)
        if phase == "!":
            self.ended.append(kind)
            return
        done = phase == "="
        self.acknowledged += done
        if kind == "folder":
            self._folders |= {worker} if done else set()
        elif kind == "fsync":
            self._sync(worker, what) if done else None
        elif kind == "log":
            self._take_log(worker, what, done)
        else:
            self._take_things(worker, kind, what, number, done)

    def _take_log(self, worker: int, what: str, done: bool) -> None:
        name, _, record = what.partition("+")
        log = self._logs.setdefault((worker, name), Log())
        log.tried = int(record) + 1
        if done:
            log.acknowledged = int(record) + 1

    def _take_things(self, worker: int, kind: str, what: str, number: int, done: bool) -> None:
        names = [what] if kind in ("name", ABSENT) else _slots(what)
        for name in names:
            thing = self._things.setdefault((worker, name), Thing())
            if done:
                thing.acknowledged = number
                thing.synced = number if kind == "synced" else thing.synced
                thing.forget()
            else:
                thing.tried.append((number, kind))

    def _sync(self, worker: int, what: str) -> None:
        if (log := self._logs.get((worker, what))) is not None:
            log.synced = log.acknowledged
        prefix = {"slots": "slot ", "folder": "name-"}.get(what)
        for (owner, name), thing in self._things.items():
            if owner == worker and prefix and name.startswith(prefix):
                thing.synced = thing.acknowledged
                thing.forget()


def _judged(what: str, found: bytes | None, may_be: list[tuple[int, str]]) -> list[str]:
    number, whole = _read(what, found)
    wanted = [0 if kind == ABSENT else number for number, kind in may_be]
    if not whole:
        return [f"{what} has content that nobody wrote"]
    if number not in wanted:
        return [f"{what} is of operation {number}, and may only be of {', '.join(map(str, wanted))}"]
    return []


def _read(what: str, found: bytes | None) -> tuple[int, bool]:
    """Which operation wrote this, 0 for none; and whether it is all that the operation wrote."""
    if found is None or not found.strip(b"\0"):
        return 0, True
    words = found.partition(b"\n")[0].decode(errors="replace").split()
    worker, name = int(what.split()[0][1:]), what.partition(" ")[2]
    if not words or not words[-1].isdigit():
        return 0, False
    return int(words[-1]), found == content(worker, name, int(words[-1]), len(found))


def _check_log(directory: Path, worker: int, name: str, log: Log, durable: bool) -> list[str]:
    what = f"w{worker} {name}"
    floor = log.synced if durable else log.acknowledged
    path = directory / f"w{worker}" / name
    found = path.read_bytes() if path.exists() else b""
    count = len(found) // RECORD_BYTES
    if not floor <= count <= log.tried:
        return [f"{what} has {count} records, not {floor} to {log.tried}"]
    wrong = [
        record
        for record in range(floor if durable else count)
        if found[record * RECORD_BYTES : (record + 1) * RECORD_BYTES] != content(worker, name, record, RECORD_BYTES)
    ]
    return [f"{what}: record {wrong[0]} of {count} is wrong"] if wrong else []


def _slots(what: str) -> list[str]:
    first, _, count = what.partition("+")
    return [f"slot {slot}" for slot in range(int(first), int(first) + int(count))]


def _slot(directory: Path, worker: int, what: str) -> bytes | None:
    slot = int(what.split()[1])
    assert slot < SLOTS
    try:
        with open(directory / f"w{worker}" / "slots", "rb") as file:
            file.seek(slot * SLOT_BYTES)
            return file.read(SLOT_BYTES)
    except FileNotFoundError:
        return None


def _name(directory: Path, worker: int, what: str) -> bytes | None:
    try:
        return (directory / f"w{worker}" / what).read_bytes()
    except FileNotFoundError:
        return None


def _folder(directory: Path, worker: int) -> bool:
    return (directory / f"w{worker}").is_dir()
