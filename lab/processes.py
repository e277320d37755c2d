"""Finding the lab's own processes, and ending them and no others.

Every process that the lab starts carries a mark in its environment. What runs is therefore read from /proc and not
from a record that a crash could leave wrong. Signals go through a pidfd, opened before the mark is read a last
time, so that a recycled process number is never hit.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError


@dataclass(frozen=True, slots=True)
class Marked:
    """A process with a mark."""

    pid: int
    """As seen from here."""
    value: str
    """The mark's value."""


def marked(name: str) -> Iterator[Marked]:
    """All processes whose environment has this variable."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            value = _mark(int(entry), name)
            if value is not None:
                yield Marked(int(entry), value)


def is_marked(process: Marked, name: str) -> bool:
    """Whether it still is the process with this mark."""
    return _mark(process.pid, name) == process.value


def status_field(pid: int, field: str) -> str:
    """A line of /proc/PID/status, without its name (proc(5)); empty when the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return line.partition(":")[2].strip()
    return ""


def processor_s(pid: int) -> float:
    """User and system time that a process has taken (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_namespace_init(pid: int) -> bool:
    """Process 1 of a pid namespace below ours: the numbers of NSpid go from our namespace to the innermost one."""
    numbers = status_field(pid, "NSpid").split()
    return len(numbers) > 1 and numbers[-1] == "1"


def number_inside(pid: int) -> str:
    """Its number in the innermost pid namespace that it is in; empty when it is gone."""
    return status_field(pid, "NSpid").rpartition("\t")[2]


def namespace_of(pid: int) -> str:
    """The pid namespace that a process is in; empty when it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def send(process: Marked, name: str, number: signal.Signals, wait_s: float | None = None) -> None:
    """Signal a marked process if it still lives; with `wait_s`, wait for its end, LabError if that takes longer."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if not is_marked(process, name):
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
        if wait_s is not None and not select.select([descriptor], [], [], wait_s)[0]:
            raise LabError(f"process {process.pid} ({process.value}) did not end within {wait_s:g} s of {number.name}")
    finally:
        os.close(descriptor)


def end_all(name: str, prefix: str, within_s: float = 10.0) -> None:
    """Kill every process whose mark begins with `prefix`, again until there is none left to start another one."""
    until = time.monotonic() + within_s
    while found := [one for one in marked(name) if one.value.startswith(prefix) and one.pid != os.getpid()]:
        if time.monotonic() > until:
            raise LabError(f"processes of the lab do not end: {', '.join(str(process.pid) for process in found)}")
        for process in found:
            send(process, name, signal.SIGKILL, wait_s=within_s)


def _mark(pid: int, name: str) -> str | None:
    """A variable of a process' environment; None if it has none such, is gone or is not ours to read."""
    _, found, rest = (b"\0" + _environment(f"/proc/{pid}")).partition(f"\0{name}=".encode())
    return rest.partition(b"\0")[0].decode(errors="replace") if found else None


def _environment(process: str) -> bytes:
    """The environment; empty if there is none to read.

    In the middle of execve(2) a process shows neither arguments nor environment, but it has a program (which a
    zombie and a kernel thread have not). Taking it for gone would be wrong, so look again: it lasts microseconds.
    """
    try:
        while not (environment := _content(f"{process}/environ")):
            os.readlink(f"{process}/exe")
            if _content(f"{process}/cmdline"):
                return _content(f"{process}/environ")
    except OSError:
        return b""
    return environment


def _content(path: str) -> bytes:
    # Plainly, since it is done for every process of this machine again and again.
    with open(path, "rb", buffering=0) as file:
        return file.read()
