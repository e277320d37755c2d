"""One machine of the lab: a place with network, mount, process, host name and IPC namespaces of its own.

Its process 1 is a sleeping shell; killing that one ends every process inside and with them the namespaces, interfaces
and mounts, as a power cut would. Nothing is named on the host (no `ip netns`, no files) but its control group, which is
removed when it is switched off.
"""

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, Signals
from typing import IO

from lab import cgroups, processes
from lab.errors import LabError
from lab.processes import Marked

MACHINE_MARK = "FARM_LAB_MACHINE"
"""Environment of everything a machine runs from its start: LAB/PLACE."""

SERVICE_MARK = "FARM_LAB_SERVICE"
"""Environment of a service started in a machine: its name, and, once it runs, its process number in there. What it
starts has the same mark, with the number of another, and may outlive it."""

CHECKOUT = Path(__file__).resolve().parent.parent
CACHE = f"{CHECKOUT}/.farmd_cache"
"""Where the filter is kept compiled, by tests, too: nothing of the host's."""
PATH = f"{CHECKOUT}/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# /sys of the new network namespace comes first: the bpffs is mounted on a folder of it. Process 1 adopts the
# services whose starters have gone; with SIGCHLD ignored, the kernel buries them when they end. The health page's
# user and group, which `farmctl setup` creates on a real machine, exist in here only.
_INIT = """
set -e
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777 shm /dev/shm
mkdir /run/lock /run/farmd-lab /run/cgroup
if [ -n "$2" ]; then mkdir -p "$2"; mount --bind "$2" /run/cgroup; fi
mount -t sysfs sys /sys
mount -t bpf bpf /sys/fs/bpf
if [ -n "$2" ]; then mount --move /run/cgroup /sys/fs/cgroup; fi
rmdir /run/cgroup
if ! getent passwd farmd > /dev/null; then
    for file in passwd group; do cp /etc/$file /run/$file; mount --bind /run/$file /etc/$file; done
    echo farmd:x:64999:64999::/nonexistent:/usr/sbin/nologin >> /etc/passwd
    echo farmd:x:64999: >> /etc/group
fi
echo "$1" > /proc/sys/kernel/hostname
echo ready
exec env --ignore-signal=CHLD sleep infinity > /dev/null
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that was on when it was found."""

    mark: Marked
    """Its process 1; the mark's value is LAB/PLACE."""

    @property
    def name(self) -> str:
        return self.mark.value.partition("/")[2]

    @property
    def pid(self) -> int:
        """Its process 1, as seen from here."""
        return self.mark.pid

    @property
    def is_on(self) -> bool:
        """Whether it still is."""
        return processes.is_marked(self.mark, MACHINE_MARK) and processes.is_namespace_init(self.pid)

    def path(self, path: str) -> Path:
        """A path inside the machine, as seen from here."""
        return Path(f"/proc/{self.pid}/root{path}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Create or replace a file inside the machine; at no time does it have more rights than `mode`."""
        there = self.path(path)
        there.unlink(missing_ok=True)
        with os.fdopen(os.open(there, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)

    def enter(self, *command: str) -> list[str]:
        """The command line that runs `command` inside, for subprocess or for a terminal."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--pid", "--uts", "--ipc", "--", *command]

    def enter_bound(self, *command: str) -> list[str]:
        """Like `enter`, for a command that must end when the process that runs this command line is ended.

        nsenter waits for the command in the other process namespace and passes no signal on; so the command asks the
        kernel for a SIGTERM at its parent's end (prctl(2), PR_SET_PDEATHSIG).
        """
        return self.enter("setpriv", "--pdeathsig=TERM", *command)

    def network_command(self, command: str, lines: str, check: bool = True) -> None:
        """Feed lines to a configuration tool of the host in the machine's network; LabError says what it refused."""
        where = ["nsenter", f"--target={self.pid}", "--net", "--", *command.split()]
        done = subprocess.run(where, input=lines, text=True, capture_output=True, env=environment())
        if check and done.returncode:
            raise LabError(f"{command.split()[0]} on {self.name}: {done.stderr.strip() or done.stdout.strip()}")

    def start_service(self, service: str, command: list[str], log: Path) -> None:
        """Run a command in the background inside, as a child of process 1; its output is appended to a file here."""
        marked = ["sh", "-c", f'export {SERVICE_MARK}="$0/$$"; exec "$@"', service]
        self.run_logged(["setsid", "--fork", *marked, *command], log, {SERVICE_MARK: service})

    def run_logged(self, command: list[str], log: Path, marks: dict[str, str] | None = None) -> None:
        """Run a command inside until it ends or goes to the background by itself; LabError if it fails."""
        with log.open("ab") as output:
            done = subprocess.run(
                self.enter(*command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment() | (marks or {}),
            )
        if done.returncode:
            raise LabError(f"{command[0]} failed on {self.name}; see {log}")

    def service(self, service: str) -> Marked | None:
        """The running process of a service, not one of its children."""
        namespace = processes.namespace_of(self.pid)
        for process in processes.marked(SERVICE_MARK):
            name, _, number = process.value.partition("/")
            if name == service and processes.namespace_of(process.pid) == namespace:
                parent = processes.status_field(process.pid, "PPid")
                if parent == str(self.pid) and number in ("", processes.number_inside(process.pid)):
                    return process
        return None

    def power_off(self) -> None:
        """End process 1, and with it everything inside; returns when all of it is gone."""
        processes.send(self.mark, MACHINE_MARK, SIGKILL, wait_s=10.0)
        cgroups.remove(*self.mark.value.split("/"))


def boot(lab: str, names: Iterable[str], log: Path) -> dict[str, Machine]:
    """Switch machines on, all at once, and wait until each is ready; LabError names the first that is not.

    The machines belong to nobody: they outlive this process, and `running` finds them again.
    """
    with log.open("ab") as errors:
        starting = {name: _boot(lab, name, errors) for name in names}
        for name, starter in starting.items():
            with starter:
                assert starter.stdout is not None
                if starter.stdout.readline() != b"ready\n":
                    raise LabError(f"{name} did not start; see {log}")
    return {name: machine for name, machine in running(lab).items() if name in starting}


def running(lab: str) -> dict[str, Machine]:
    """The machines of a lab that are on, by name."""
    found = (mark for mark in processes.marked(MACHINE_MARK) if mark.value.startswith(f"{lab}/"))
    machines = (Machine(mark) for mark in found if processes.is_namespace_init(mark.pid))
    return {machine.name: machine for machine in machines}


def end_all(lab: str) -> None:
    """Switch all machines of a lab off, also those that a crash has left."""
    processes.end_all(MACHINE_MARK, f"{lab}/")
    cgroups.remove(lab, "*")


def environment() -> dict[str, str]:
    """The environment of what runs inside: the checkout's commands first, and the system's even without a login."""
    return os.environ | {"PATH": PATH, "FARMD_CACHE": CACHE}


def signal_service(process: Marked, number: Signals, wait_s: float | None = None) -> None:
    """Signal a service; with `wait_s`, wait for its end."""
    processes.send(process, SERVICE_MARK, number, wait_s)


def _boot(lab: str, name: str, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C at the terminal is for the lab's commands, not for its machines.
    group = cgroups.folder(lab, name)
    namespaces = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--mount-proc", "--kill-child"]
    return subprocess.Popen(
        ["setsid", "--fork", "unshare", *namespaces, "sh", "-c", _INIT, "sh", name, str(group or "")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd="/",
        env=environment() | {MACHINE_MARK: f"{lab}/{name}"},
    )
