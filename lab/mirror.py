"""Mirrors in the lab: two nodes with a disk each, two networks, a router as witness, clients (lab/topology.py).

    with MirrorLab("mine", [text]) as lab:
        lab.kill("n1")
        lab.wait("n2", role="ALONE")

The nodes are n1 and n2. Heartbeat network 1 is eth0, with router and clients; 2 is eth1, which the stream prefers.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals
from typing import Any

from lab import processes, services
from lab.errors import LabError
from lab.machine import CHECKOUT, Machine, signal_service
from lab.mirror_disk import Disk
from lab.network import STOP_WITHIN_S, Lab, content
from lab.processes import Marked
from lab.topology import ROUTER_LAN
from lab.waiting import until

NODES = ("n1", "n2")
EXAMPLES = CHECKOUT / "lab/examples"
MIRRORD = "mirrord"
FARMCTL_WITHIN_S = 60.0
PYTHON = f"{CHECKOUT}/.venv/bin/python"
PROGRAM = (PYTHON, "-m", "mirrord.program")

# A private /etc, so that each node has its own /etc/farmd, and a private /opt, with what the examples run. What
# machine.py has bound into /etc lies below the new mount and is put on it again.
_FOLDERS = """
set -e
mkdir -p /run/etc/new /run/etc/work /run/postgresql
chown postgres: /run/postgresql || true
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/new,workdir=/run/etc/work etc /etc
for file in passwd group; do if [ -e /run/$file ]; then cp /run/$file /etc/$file; fi; done
mount -t tmpfs -o mode=755 opt /opt
mkdir -p /etc/farmd /opt/notes /var/lib/nginx
cp "$1"/*.nginx.conf /etc/farmd
cp "$1"/notes.py /opt/notes
ln -s "$2"/.venv /opt/notes/venv
"""


class MirrorLab(Lab):
    """A lab whose nodes run mirrors; a node may run several, and a verb without a mirror's name is about the first."""

    def __init__(
        self, name: str = "mirror", mirrors: Iterable[str] = (), networks: int = 2, *, web: bool = False
    ) -> None:
        """`mirrors` are the texts of mirrord's configurations; `web`: the nodes have nginx, and may be a farm
        besides."""
        super().__init__(name, len(NODES), networks, config=None if web else "")
        self.mirrors: dict[str, str] = {tomllib.loads(text)["mirror"]["name"]: text for text in mirrors}
        self.disks = {node: Disk(name, node) for node in NODES}
        self._key = services.key()

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def down(self) -> None:
        """As of every lab; and the disks are gone."""
        super().down()
        for disk in self.disks.values():
            disk.remove()

    def start(self, node: str, mirror: str | None = None, *, program: Sequence[str] = PROGRAM) -> None:
        """Boot a node if it is off, and start its mirrors, or only this one; returns when they answer. `program` is
        what runs as mirrord."""
        if not self.powered(node):
            self.boot(node)
        wanted = [mirror] if mirror else list(self.mirrors)
        for name in wanted:
            self._start_mirrord(self.machine(node), name, program)
        for name in wanted:
            self._wait_answer(node, name)

    def start_farm(self, node: str) -> None:
        """Start farmd on a node that is on; returns when it answers."""
        super().start(node)

    def stop_farm(self, node: str) -> None:
        """The planned way: farmd gives its buckets away and ends."""
        super().stop(node)

    def stop(self, node: str, mirror: str | None = None) -> None:
        """The planned way, SIGTERM: a node that serves hands over first. Returns when mirrord has ended."""
        signal_service(self.mirrord(node, mirror), SIGTERM, wait_s=STOP_WITHIN_S)

    def freeze(self, node: str, mirror: str | None = None) -> None:
        """Stop mirrord where it stands; its volume goes on until it notices."""
        signal_service(self.mirrord(node, mirror), SIGSTOP)

    def thaw(self, node: str, mirror: str | None = None) -> None:
        signal_service(self.mirrord(node, mirror), SIGCONT)

    def crash(self, node: str, mirror: str | None = None) -> None:
        """SIGKILL for mirrord; the machine stays on. Returns when it has ended."""
        signal_service(self.mirrord(node, mirror), SIGKILL, wait_s=10.0)

    def signal_volume(self, node: str, number: Signals) -> None:
        """Signal the processes that move the data, of all mirrors of a node."""
        _signal(self.volume_pids(node), number)

    def freeze_all(self, node: str) -> None:
        """Stop every process of a node, as when a hypervisor pauses it; its kernel goes on."""
        _signal(self.pids(node), SIGSTOP)

    def thaw_all(self, node: str) -> None:
        _signal(self.pids(node), SIGCONT)

    def farmctl(self, node: str, verb: str, *arguments: str, mirror: str | None = None) -> dict[str, Any]:
        """What farmctl answers on a node, parsed; LabError with its sentence when it refuses."""
        command = services.farmctl(verb, *arguments, "--farm", mirror or self.first, "--json")
        try:
            done = self.exec(node, *command, check=False, timeout=FARMCTL_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise LabError(f"farmctl {verb} on {node} did not end within {FARMCTL_WITHIN_S:g} s") from None
        if done.returncode:
            raise LabError(f"farmctl {verb} on {node}: {(done.stderr or done.stdout).strip()}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def promote(self, node: str, *arguments: str, mirror: str | None = None) -> None:
        """Let a node serve that waits, as soon as it has opened its directories; LabError if it refuses."""
        until(lambda: self._promoted(node, arguments, mirror), f"{node} to be promoted", 15.0, interval_s=0.1)

    def _promoted(self, node: str, arguments: tuple[str, ...], mirror: str | None) -> bool:
        try:
            self.farmctl(node, "promote", *arguments, mirror=mirror)
        except LabError as error:
            if "not open yet" in str(error):
                return False
            raise
        return True

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def first(self) -> str:
        return next(iter(self.mirrors))

    def status(self, node: str, mirror: str | None = None) -> dict[str, Any]:
        """What a node says of its mirror; empty if nothing answers."""
        try:
            return self.ask(node, name=mirror or self.first)
        except LabError:
            return {}

    def wait(self, node: str, mirror: str | None = None, timeout_s: float = 30.0, **wanted: object) -> dict[str, Any]:
        """Wait until a node's status has these values, such as role="PRIM" and in_sync=True; the status then."""
        seen: dict[str, Any] = {}

        def has() -> bool:
            nonlocal seen
            seen = self.status(node, mirror)
            return bool(seen) and all(seen.get(key) == value for key, value in wanted.items())

        try:
            until(has, f"{mirror or self.first} on {node} to be {wanted}", timeout_s, interval_s=0.02)
        except LabError as error:
            now = {key: seen.get(key) for key in ("role", "readiness", "reason", "in_sync", *wanted)}
            raise LabError(f"{error}; it is {now}{self._last_words(self.log_name(node, mirror))}") from None
        return seen

    def serving(self, mirror: str | None = None) -> list[str]:
        """The nodes that say that they serve."""
        powered = [node for node in NODES if self.powered(node)]
        return [node for node in powered if self.status(node, mirror).get("role") in ("PRIM", "ALONE")]

    def wait_pair(self, mirror: str | None = None, timeout_s: float = 60.0) -> str:
        """Wait until one node serves and the other follows in sync; which one serves."""

        def paired() -> bool:
            states = {node: self.status(node, mirror) for node in NODES}
            roles = sorted(str(state.get("role")) for state in states.values())
            return roles == ["PRIM", "SECOND"] and all(state.get("in_sync") for state in states.values())

        try:
            until(paired, f"{mirror or self.first} to be a pair in sync", timeout_s, interval_s=0.02)
        except LabError as error:
            raise LabError(f"{error}\n{self.account(mirror)}") from None
        return self.serving(mirror)[0]

    def account(self, mirror: str | None = None, lines: int = 12) -> str:
        """What the nodes say of themselves and what their logs end with, for a message."""
        told = []
        for node in NODES:
            now = self.status(node, mirror) if self.powered(node) else {}
            told.append(f"{node}: {', '.join(f'{key} {now.get(key)}' for key in _TOLD) if now else 'no answer'}")
            told += content(self.state.log(self.log_name(node, mirror))).splitlines()[-lines:]
        return "\n".join(told)

    def mirrord(self, node: str, mirror: str | None = None) -> Marked:
        """A node's mirrord; LabError if it does not run."""
        found = self.machine(node).service(f"{MIRRORD}.{mirror or self.first}")
        if found is None:
            raise LabError(f"mirrord does not run on {node}{self._last_words(self.log_name(node, mirror))}")
        return found

    def volume_pids(self, node: str) -> list[int]:
        """The processes that move the data, as seen from here."""
        return [pid for pid in self.pids(node) if b"\0mirrord.volume\0" in _command_line(pid)]

    def log_name(self, node: str, mirror: str | None = None) -> str:
        return f"{node}-{mirror or self.first}"

    def path(self, node: str, path: str) -> Path:
        """A path of a node, as seen from here. Beware of a mount whose server is frozen: who looks at it waits."""
        return self.machine(node).path(path)

    # -- how it is built -----------------------------------------------------------------------------------------------

    def start_all(self, data_on: str | None = None) -> None:
        """Start every mirror on both nodes, and wait until each is a pair; `data_on` is the node that an operator
        promotes because it has the data."""
        both = [(node, mirror) for node in NODES for mirror in self.mirrors]
        for node, mirror in both:
            self._start_mirrord(self.machine(node), mirror, PROGRAM)
        for node, mirror in both:
            self._wait_answer(node, mirror)
        for mirror in self.mirrors:
            if data_on:
                self.promote(data_on, mirror=mirror)
            self.wait_pair(mirror)

    def _furnish(self, there: Machine) -> None:
        if self.config:
            super()._furnish(there)
        log = self.state.log(there.name)
        self.disks[there.name].plug(there, log)
        there.run_logged(["sh", "-c", _FOLDERS, "sh", str(EXAMPLES), str(CHECKOUT)], log)
        for mirror, text in self.mirrors.items():
            there.write(f"/etc/farmd/{mirror}.toml", text)
            there.write(f"/etc/farmd/{mirror}.key", self._key, mode=0o600)
            for directory in tomllib.loads(text)["mirror"]["directories"]:
                there.path(directory).mkdir(parents=True, exist_ok=True)

    def _cut_power(self, there: Machine) -> None:
        # No volume may say any more that something is on the disk: an fsync(2) that is under way while ext4 is shut
        # down can return 0 although it never came there.
        self.signal_volume(there.name, SIGSTOP)
        self.disks[there.name].cut_power(there)
        super()._cut_power(there)
        self.disks[there.name].wait_unplugged()

    def _start_mirrord(self, there: Machine, mirror: str, program: Sequence[str]) -> None:
        if there.service(f"{MIRRORD}.{mirror}"):
            raise LabError(f"mirrord runs {mirror} on {there.name} already")
        command = [*program, "--config", f"/etc/farmd/{mirror}.toml", "--node", there.name]
        there.start_service(f"{MIRRORD}.{mirror}", command, self.state.log(self.log_name(there.name, mirror)))

    def _wait_answer(self, node: str, mirror: str) -> None:
        until(lambda: bool(self.mirrord(node, mirror) and self.status(node, mirror)), f"mirrord on {node}", 15.0)

    def pids(self, node: str) -> list[int]:
        """Every process of a node but its first, which is only the machine's power switch."""
        there = self.machine(node).pid
        namespace = processes.namespace_of(there)
        found = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != there]
        return [pid for pid in found if processes.namespace_of(pid) == namespace]


def example(name: str, **mirror: str) -> str:
    """The text of lab/examples/NAME.toml, with more lines for its [mirror], such as prefer='"n1"'."""
    text = (EXAMPLES / f"{name}.toml").read_text()
    lines = "".join(f"{key} = {value}\n" for key, value in mirror.items())
    return text.replace("[mirror]\n", f"[mirror]\n{lines}", 1)


def plain(name: str = "data", directories: Iterable[str] = ("/srv/data",), **mirror: str) -> str:
    """A mirror's configuration without services; more lines for its [mirror], such as ack='"disk"'."""
    values = {
        "name": json.dumps(name),
        "directories": json.dumps(list(directories)),
        "vips": '["10.0.0.210"]',
        "interface": '"eth0"',
        "witness": json.dumps([ROUTER_LAN[0]]),
        "keys": f'["@/etc/farmd/{name}.key"]',
        **mirror,
    }
    text = "[mirror]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
    for number, node in enumerate(NODES, start=1):
        addresses = json.dumps([f"10.99.0.{number}", f"10.0.0.{number}"])
        text += f'\n[[node]]\nid = {number}\nname = "{node}"\naddresses = {addresses}\n'
    return text


def quick(name: str = "data", directories: Iterable[str] = ("/srv/data",), **mirror: str) -> str:
    """As `plain`, with a virtual address that needs no filter, whose compilation takes most of a node's start."""
    return plain(name, directories, vip_mode='"alias"', **mirror)


_TOLD = ("role", "readiness", "reason", "condition", "generation", "in_sync", "linked", "progress", "figures")


def _signal(pids: Iterable[int], number: Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(pid, number)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
