"""Which processes are whose: a control group for each service that is a command, and one for the attendant itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from farmd.kit.lock import run_folder
from farmd.supervision import cgroup
from farmd.supervision.cgroup import Cgroup, PopulationWatch
from farmd.supervision.commands import OUTPUT_BYTES_KEPT, Command, Outcome
from farmd.supervision.failure import Failure

log = logging.getLogger(__name__)

OUTPUT_BYTES_MAX = 1 << 20
"""What a service may have written to the output of its start command, before that is emptied."""

_KILL_WITHIN_S = 5.0
_LOOK_AGAIN_S = 0.01


class Containment:
    """The control groups of one scope, below farmd's own, or where an earlier farmd, started elsewhere, left them."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._home = cgroup.own()
        self._base: Cgroup | None = None
        if self._home is not None:
            name = f"farmd.{scope}"
            here = Cgroup(self._home.path / name)
            self._base = here if here.path.exists() else cgroup.elsewhere(name) or here

    def enter(self) -> None:
        """Takes this process into a group of its own, and with it all that its probes will start. What an attendant
        before it, which was killed, has left running of its probes is killed."""
        if self._base is None:
            log.warning("there is no cgroup v2 to write to: the processes of services are not known")
            return
        group = self._attendant(self._base)
        group.make()
        _kill_visible(group)
        group.enter()

    def leave(self) -> None:
        """Undoes `enter`: ends what is left of probes, and leaves no empty group."""
        if self._home is None or self._base is None:
            return
        self._home.enter()
        group = self._attendant(self._base)
        _kill_visible(group)
        group.remove()
        self._base.remove_if_bare()

    def service(self, name: str) -> Contained:
        """The processes of one service."""
        group = None if self._base is None else Cgroup(self._base.path / f"service.{name}")
        return Contained(group, run_folder() / f"{self._scope}.{name}.output")

    @staticmethod
    def _attendant(base: Cgroup) -> Cgroup:
        return Cgroup(base.path / "attendant")


class Contained:
    """The processes of one service that is started by a command; their group is found again by a farmd to come."""

    def __init__(self, group: Cgroup | None, output: Path) -> None:
        self._group = group
        self._output = output
        """What the start command and all that it leaves running write to. A pipe would break when farmd ends."""

    @property
    def known(self) -> bool:
        """Whether this machine can tell which processes belong to it."""
        return self._group is not None

    @property
    def populated(self) -> bool:
        """Whether a process of it lives, as far as is known."""
        return self._group is not None and self._group.populated

    def watch(self, wake: Callable[[], None]) -> PopulationWatch | None:
        """Calls `wake` when its last process ends."""
        return None if self._group is None else PopulationWatch(self._group, wake)

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line that runs a command among them. There must be `room`."""
        return list(arguments) if self._group is None else self._group.command(arguments)

    def room(self) -> None:
        """Makes their group, if there is none yet."""
        if self._group is not None:
            self._group.make()

    async def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Outcome:
        """Runs the command that starts it, and leaves running what that leaves running."""
        self.room()
        self._output.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._output.unlink(missing_ok=True)
        with open(os.open(self._output, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600), "r+b") as output:
            outcome = await Command(self.command(arguments), environment).run(output)
            written = os.pread(output.fileno(), OUTPUT_BYTES_KEPT, 0)
            return Outcome(outcome.code, written.decode(errors="replace"))

    async def empty(self) -> None:
        """Returns when no process of it is left; at once where that is not known."""
        while self.populated:
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def kill(self) -> None:
        """Kills all of it. Failure if something is left, or if nothing is known of it."""
        if self._group is None:
            raise Failure("its processes are not known: this machine has no cgroup v2 to write to")
        self._group.kill()
        try:
            async with asyncio.timeout(_KILL_WITHIN_S):
                await self.empty()
        except TimeoutError:
            left = ", ".join(map(str, self._group.processes()))
            raise Failure(f"these processes cannot be killed: {left}") from None

    def trim(self) -> None:
        """Keeps its output from filling the run folder."""
        with contextlib.suppress(OSError):
            if self._output.stat().st_size > OUTPUT_BYTES_MAX:
                os.truncate(self._output, 0)

    def forget(self) -> None:
        """Leaves nothing behind of a service that has stopped."""
        self._output.unlink(missing_ok=True)
        if self._group is not None:
            self._group.remove()


def _kill_visible(group: Cgroup) -> None:
    for pid in group.processes():
        if pid > 0:  # 0: of another process namespace
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
