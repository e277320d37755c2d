"""process: a program of which a process runs, or the process whose number a file holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from farmd.supervision.deaths import DeathWatch
from farmd.supervision.failure import Failure

COMM_CHARACTERS = 15
"""The kernel keeps no more of a program's name (proc(5), comm)."""


class ProcessProbe:
    """Finds a process and watches it: its death is noticed at once, and only then another one is looked for."""

    late = "no answer"

    def __init__(self, process: str, wake: Callable[[], None]) -> None:
        self._name = process
        self._watch = DeathWatch(wake)

    async def look(self) -> str:
        if self._name.startswith("@"):
            pid = _pid_in(Path(self._name[1:]))
            if not self._watch.on(pid):
                raise Failure(f"process {pid} of {self._name[1:]} does not run")
        elif not self._watch.alive and not any(map(self._watch.on, _processes(self._name))):
            raise Failure(f"no process of {self._name} runs")
        return f"process {self._watch.pid} runs"


def _pid_in(path: Path) -> int:
    try:
        with path.open() as file:
            return int(file.read(32))
    except FileNotFoundError:
        raise Failure(f"there is no {path}") from None
    except (OSError, ValueError):
        raise Failure(f"{path} holds no process number") from None


def _processes(name: str) -> Iterator[int]:
    """The processes of a program, by what the kernel or the process itself calls it."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and _is_called(Path("/proc") / entry, name):
            yield int(entry)


def _is_called(process: Path, name: str) -> bool:
    try:
        if (process / "comm").read_text().rstrip("\n") != name[:COMM_CHARACTERS]:
            return False
        if len(name) <= COMM_CHARACTERS:
            return True
        arguments = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        return any(os.path.basename(argument) == name for argument in arguments[:2])  # the second one: of a script
    except OSError:
        return False
