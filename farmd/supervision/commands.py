"""Running a command to its end: in a session of its own, its output kept short, nothing of it left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from farmd.supervision.deaths import exited
from farmd.supervision.failure import Failure

OUTPUT_BYTES_KEPT = 4096
LINE_CHARACTERS_KEPT = 200
REASON_PREFIX = "ocf-exit-reason:"
"""Begins the line in which an OCF agent tells people why it failed."""

_READ_BYTES = 1 << 16
_PAUSE_S = 0.001
"""Between two reads of output that nobody wants: a flood of it must not keep the processor busy."""
_BURY_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    """Its exit code; the negative number of a signal that killed it."""
    output: str = ""
    """The beginning of its output."""

    @property
    def line(self) -> str:
        """The line for people in its output: an OCF agent's reason, or the first one that says anything."""
        lines = [line.strip() for line in self.output.splitlines()]
        reasons = [line.removeprefix(REASON_PREFIX).strip() for line in lines if line.startswith(REASON_PREFIX)]
        line = next(iter(reasons or filter(None, lines)), "")
        return "".join(each if each.isprintable() else " " for each in line)[:LINE_CHARACTERS_KEPT]

    @property
    def text(self) -> str:
        """In a few words."""
        return f"{self.ended}: {self.line}" if self.line else self.ended

    @property
    def ended(self) -> str:
        """How it ended, without its output."""
        if self.code >= 0:
            return f"exit code {self.code}"
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-self.code).name}"
        return f"killed by signal {-self.code}"


class Command:
    """A command that is run again and again, one instance at a time."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """environment: added to this process' own."""
        self.arguments = list(arguments)
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    async def run(self, output: IO[bytes] | None = None) -> Outcome:
        """Runs it to its end. When cancelled, and at its end, its whole process group is killed.

        output: a file that its output is added to, and that what it leaves running may keep. Without one, output is
        read as it comes, and dropped after the first 4 KiB.
        Raises Failure if it cannot be started, or if an earlier run cannot be killed.
        """
        if self._process is not None and self._process.poll() is None:
            raise Failure(f"an earlier run cannot be killed (process {self._process.pid})")
        process = self._process = self._spawn(subprocess.PIPE if output is None else output)
        pidfd = os.pidfd_open(process.pid)
        tap = Tap(process.stdout) if process.stdout is not None else None
        try:
            await exited(pidfd)
        finally:
            if output is None or process.poll() is None:
                _kill_group(process.pid)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BURY_WITHIN_S):
                    await exited(pidfd)
            process.poll()
            os.close(pidfd)
            kept = tap.close() if tap is not None else b""
        return Outcome(process.wait(), kept.decode(errors="replace"))

    def _spawn(self, output: int | IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=self._environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL byte
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise Failure(f"{self.arguments[0]} cannot be started: {reason}") from None


class Tap:
    """Keeps the beginning of what comes out of a pipe, and drops the rest as it comes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        os.set_blocking(pipe.fileno(), False)
        self._resume()

    def close(self) -> bytes:
        """Takes what is still there and no more; returns what was kept."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._pipe)
        if len(self._kept) < OUTPUT_BYTES_KEPT:
            self._take()
        self._pipe.close()
        return self._kept

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._pipe, self._read)

    def _read(self) -> None:
        ended = not self._take()
        if ended or len(self._kept) == OUTPUT_BYTES_KEPT:
            self._loop.remove_reader(self._pipe)
        if not ended and len(self._kept) == OUTPUT_BYTES_KEPT:
            self._pause = self._loop.call_later(_PAUSE_S, self._resume)

    def _take(self) -> bool:
        """False when nothing more will come."""
        try:
            came = os.read(self._pipe.fileno(), _READ_BYTES)
        except BlockingIOError:
            return True
        self._kept += came[: OUTPUT_BYTES_KEPT - len(self._kept)]
        return bool(came)


def _kill_group(leader: int) -> None:
    # The group's number is the leader's, which stays taken while the leader is not waited for.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
