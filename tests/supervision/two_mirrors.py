"""Two machines, each with a systemd of its own as process 1, that run `mirrord@db` as `farmctl setup` installs it.

As on a real machine, and unlike in the lab, the root mount is shared (mount_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from farmd.setup.units import rendered
from lab.errors import LabError
from lab.waiting import until
from tests.supervision.a_systemd import Systemd, systemd

BIN = Path(sys.executable).parent
DATA = "/srv/data"
WATCHDOG_S = 2
CONFIG = f"""
[mirror]
name = "db"
directories = ["{DATA}"]
keys = ["only for this test"]

[[node]]
id = 1
name = "n1"
addresses = ["10.9.0.1"]

[[node]]
id = 2
name = "n2"
addresses = ["10.9.0.2"]

[[service]]
unit = "app.service"

[[service]]
name = "command"
start = "sh -c 'sleep 973 & echo $! > /run/command.pid'"
stop = "sh -c 'kill $(cat /run/command.pid)'"
"""

# The application has a mount namespace of its own, as most units of distributions have, and takes its time to stop.
_BARE = "[Unit]\nDefaultDependencies=no\n"
_AT_SHUTDOWN = "Conflicts=shutdown.target\nBefore=shutdown.target\n"
UNITS = {
    "app.service": f"""[Service]
WorkingDirectory={DATA}
ExecStart=/bin/sh -c 'trap "sleep 1; echo clean >> log; exit" TERM; while :; do echo x >> log; sleep 0.1; done'
KillMode=mixed
ProtectSystem=full
""",
    "local-fs.target": _BARE + _AT_SHUTDOWN,
    "sysinit.target": f"{_BARE}Wants=local-fs.target\nAfter=local-fs.target\n{_AT_SHUTDOWN}",
    "basic.target": f"{_BARE}Requires=sysinit.target\nAfter=sysinit.target\n{_AT_SHUTDOWN}",
    "multi-user.target": f"{_BARE}Requires=basic.target\nAfter=basic.target\n{_AT_SHUTDOWN}",
    "shutdown.target": _BARE,
    "umount.target": _BARE,
    "poweroff.target": f"{_BARE}Requires=shutdown.target umount.target off.service\nAfter=off.service\n",
    "off.service": f"{_BARE}Requires=shutdown.target umount.target\nAfter=shutdown.target umount.target\n"
    "[Service]\nType=oneshot\nExecStart=/bin/sleep 972\n",
}  # fmt: skip
_FURNISH = """
mount --bind {folder}/srv /srv
mount --bind {folder}/lib /var/lib
mkdir -p /run/etc/new /run/etc/work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/new,workdir=/run/etc/work etc /etc
getent group farmd > /dev/null || echo farmd:x:64999: >> /etc/group
mkdir -p /etc/farmd {data}
cp {folder}/db.toml /etc/farmd
mount --make-rshared /
"""


class Node:
    """One of the two."""

    def __init__(self, name: str, machine: Systemd, disk: Path) -> None:
        """disk: its /srv, as seen from here."""
        self.name = name
        self.run = machine.run
        self._log = disk / Path(DATA).name / "log"

    def do(self, *command: str) -> str:
        """What a command prints, which must not fail."""
        done = self.run(*command)
        assert done.returncode == 0, f"{self.name}: {command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def status(self) -> dict[str, Any]:
        """What mirrord says; empty if it does not."""
        done = self.run("env", "--unset=FARMD_RUN", str(BIN / "farmctl"), "status", "--json")
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        return found if found.get("ok") else {}

    def wait(self, *roles: str) -> None:
        """For one of these roles, in sync but where it is ALONE."""

        found: dict[str, Any] = {}

        def is_so() -> bool:
            nonlocal found
            found = self.status()
            role = found.get("role")
            return role in roles and (role == "ALONE" or bool(found["in_sync"]))

        try:
            until(is_so, f"{self.name} to be {' or '.join(roles)}", timeout_s=40, interval_s=0.1)
        except LabError as error:
            events = [event["text"] for event in found.get("events", [])]
            raise LabError(f"{error}; it is {found.get('role')}, {found.get('reason')}: {events}") from None

    def show(self, unit: str, what: str) -> str:
        return self.do("systemctl", "show", f"--property={what}", "--value", unit)

    def kinds(self) -> list[str]:
        """The file systems that process 1 sees at the replicated directory, the one on top last."""
        lines = [line.split() for line in self.do("cat", "/proc/1/mountinfo").splitlines()]
        return [line[line.index("-") + 1] for line in lines if line[4] == DATA]

    def lines(self) -> list[str]:
        """What the application has written, as this node's disk has it."""
        return self._log.read_text().splitlines()

    def application(self) -> tuple[str, bool]:
        """The state of its unit, and whether its command runs."""
        command = self.run("pgrep", "--full", "--exact", "sleep 973")
        return self.show("app.service", "ActiveState"), command.returncode == 0


@contextlib.contextmanager
def two_mirrors(folder: Path) -> Iterator[tuple[Node, Node]]:
    """Both in sync, the first one serving. `folder` is on a file system that can be mirrored."""
    units = UNITS | {"mirrord@.service": _unit()}
    with contextlib.ExitStack() as stack:
        machines, nodes = [], []
        for name in ("n1", "n2"):
            place = folder / name
            for part in ("srv/data", "lib", "units"):
                (place / part).mkdir(parents=True)
            (place / "db.toml").write_text(CONFIG)
            furnish = _FURNISH.format(folder=place, data=DATA)
            machines.append(stack.enter_context(systemd(units, place / "units", furnish)))
            nodes.append(Node(name, machines[-1], place / "srv"))
        _connect(*machines)
        for node in nodes:
            node.do("systemctl", "start", "mirrord@db")
        one, other = nodes
        one.wait("PRIM")  # both are empty, so the first one begins
        yield one, other


def _unit() -> str:
    text = rendered("mirrord@.service", BIN)
    assert "WatchdogSec=10\n" in text
    return text.replace("WatchdogSec=10\n", f"WatchdogSec={WATCHDOG_S}\n")


def _connect(one: Systemd, other: Systemd) -> None:
    _ip(one, f"link add eth0 type veth peer name eth0 netns {other.pid}")
    for number, machine in enumerate((one, other), start=1):
        _ip(machine, f"addr add 10.9.0.{number}/24 dev eth0")
        _ip(machine, "link set eth0 up")


def _ip(machine: Systemd, words: str) -> None:
    subprocess.run(["nsenter", f"--target={machine.pid}", "--net", "ip", *words.split()], check=True)
