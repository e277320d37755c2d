"""A systemd of its own in namespaces of its own, which knows no units but those of the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from farmd.supervision import cgroup
from lab.waiting import until

SYSTEMD = Path("/lib/systemd/systemd")

_BOOT = """
set -e
echo $$ > "$1/cgroup.procs"
exec unshare --pid --fork --kill-child --mount --propagation private --uts --ipc --net --cgroup --mount-proc sh -c '
    set -e
    mount -t sysfs sys /sys
    mount -t cgroup2 groups /sys/fs/cgroup
    mount -t tmpfs run /run
    mkdir /run/units
    cp "$1"/* /run/units/
    ip link set lo up
    sh -e -c "$2"
    export container=test SYSTEMD_UNIT_PATH=/run/units
    exec /lib/systemd/systemd --system --unit=nothing.target --log-target=console --show-status=no
' sh "$2" "$3"
"""


class Systemd:
    """A running systemd."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        """Its process 1, as seen from here."""

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command where this systemd is process 1."""
        return subprocess.run(
            ["nsenter", f"--target={self.pid}", "--all", "--", *command], capture_output=True, text=True
        )


@contextlib.contextmanager
def systemd(units: dict[str, str], folder: Path, furnish: str = "") -> Iterator[Systemd]:
    """Boots one that has these unit files. At the end nothing is left of it.

    furnish: a shell script that makes the machine ready before; what it mounts is in no other machine.
    """
    own = cgroup.own()
    assert own is not None
    group = cgroup.Cgroup(own.path / f"test-systemd-{os.getpid()}-{folder.stat().st_ino}")
    group.make()
    for name, text in {"nothing.target": "[Unit]\nDefaultDependencies=no\n", **units}.items():
        (folder / name).write_text(text)
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        command = ["sh", "-c", _BOOT, "sh", str(group.path), str(folder), furnish]
        starter = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        until(lambda: starter.poll() is not None or _child(starter.pid) > 0, "the namespaces to be there")
        booted = Systemd(_child(starter.pid))
        until(lambda: booted.run("systemctl", "is-active", "nothing.target").returncode == 0, f"systemd; see {log}", 20)
        yield booted
    finally:
        if starter.poll() is None:
            os.kill(_child(starter.pid), signal.SIGKILL)
            starter.wait()
        until(lambda: not group.populated, "its processes to end")
        group.remove()


def _child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else 0
