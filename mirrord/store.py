"""What a node knows of its data, on disk: one small file, there as a whole or not at all.

    {"version": 1, "state": {"generation": {"number": 7, "node": 1}, "history": [...], "condition": "insync",
     "served": true}}

A file that cannot be read is never guessed: an operator who removes it says that this node's data counts for nothing.

A disk that is full must not keep a node from saying that it is outdated, so nothing new is needed to save: a second
file has its block already. It is written in place, and once that is on the disk the two change names
(RENAME_EXCHANGE, rename(2)). A crash leaves the state before or the one after, and what is half written has the other
name. File systems that write every block to a new place (Btrfs, ZFS) may refuse nevertheless; the state is then as it
was.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from farmd.errors import ConfigError, MachineError
from farmd.kit import toml
from mirrord.core.generations import HISTORY_MAX, Condition, State
from mirrord.volume.files import syscalls

VERSION = 1
FILE_BYTES = 1 << 12
"""A state with the longest history fits; it is filled up with spaces, so that its block never changes."""
FILE_BYTES_MAX = 1 << 16
_EXCHANGE = 2  # linux/fs.h, RENAME_EXCHANGE


class Store:
    """The file of one mirror."""

    def __init__(self, folder: Path) -> None:
        """folder: the mirror's own, which is made if it is not there. MachineError if that is not possible."""
        self.folder = folder
        self._path = folder / "state.json"
        self._spare = folder / "state.spare"
        self.in_doubt = False
        """The last `save` has failed, and yet a crash may leave what it was to save."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")  # a disk may take its time, the loop may not
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room()
        except OSError as error:
            raise MachineError(f"the folder {folder} cannot be made: {error.strerror}") from None

    def load(self) -> State:
        """What was saved last; State() if nothing ever was. MachineError if the file cannot be relied upon."""
        try:
            with self._path.open("rb") as file:
                return _decoded(file.read(FILE_BYTES_MAX + 1))
        except FileNotFoundError:
            return State()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise MachineError(
                f"{self._path} cannot be read ({reason}), so it is not known whether this node's data is up to date; "
                "when the other node has the data, remove the file"
            ) from None

    def save(self, state: State) -> None:
        """Returns when it is durable. OSError if it cannot be written; then the last state is there, or either of the
        two if that is `in_doubt`."""
        # Of an exchange that failed half-way: what is overwritten must not count on the disk.
        syscalls.sync_folder(self.folder)
        _write(self._spare, _encoded(state))
        spare, path = os.fsencode(self._spare), os.fsencode(self._path)
        syscalls.rename(syscalls.AT_FDCWD, spare, syscalls.AT_FDCWD, path, _EXCHANGE)
        self.in_doubt = True
        syscalls.sync_folder(self.folder)
        self.in_doubt = False

    def _make_room(self) -> None:
        """Both files are there, each as a whole; what is there already stays."""
        for path in (self._path, self._spare):
            if not path.exists():
                unfinished = path.with_suffix(".new")
                unfinished.touch(mode=0o600)
                _write(unfinished, _encoded(State()))
                unfinished.rename(path)
        syscalls.sync_folder(self.folder)

    def save_soon(self, state: State, done: Callable[[OSError | None], None]) -> None:
        """The same beside the running loop, which `done` is called in; one after the other."""
        loop = asyncio.get_running_loop()
        saving = loop.run_in_executor(self._writer, self.save, state)
        saving.add_done_callback(lambda saved: None if saved.cancelled() else done(_failure(saved)))

    def close(self) -> None:
        """Waits for what is under way."""
        self._writer.shutdown()


def _encoded(state: State) -> bytes:
    content = json.dumps({"version": VERSION, "state": dataclasses.asdict(state)}).encode() + b"\n"
    return content.ljust(FILE_BYTES)


def _write(path: Path, content: bytes) -> None:
    """In place, onto the disk."""
    with path.open("r+b", buffering=0) as file:
        written = file.write(content)
        os.fsync(file.fileno())
    if written != len(content):  # the disk filled up on the way
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _failure(saved: asyncio.Future[None]) -> OSError | None:
    try:
        saved.result()
    except OSError as error:
        return error
    return None


def _decoded(content: bytes) -> State:
    """ValueError if this is not what `save` wrote."""
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
    fields: dict[str, Any] = {}
    with contextlib.suppress(ValueError, RecursionError):
        fields = json.loads(content)
    if not isinstance(fields, dict) or "version" not in fields or "state" not in fields:
        raise ValueError("it is damaged")
    if fields["version"] != VERSION:
        raise ValueError(f"it is of version {fields['version']}, and this program reads {VERSION}")
    try:
        state = toml.read(fields["state"], State, {Condition: _condition})
    except ConfigError as error:
        raise ValueError(f"it is damaged: {error}") from None
    if len(state.history) > HISTORY_MAX:
        raise ValueError(f"it is damaged: there are {len(state.history)} earlier generations")
    return state


def _condition(value: object, key: str) -> Condition:
    try:
        return Condition(str(value))
    except ValueError:
        raise ConfigError(key, f"{value!r} is no condition") from None
