"""One virtual machine: QEMU in the lab's hypervisor place, and the channel to its inside.

What QEMU keeps (the disk's overlay, its sockets) is in the place's own /run and is gone with the place.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from pathlib import Path
from signal import SIGKILL

from lab.errors import LabError
from lab.machine import Machine, signal_service
from lab.vm.image import Image

MEMORY_MB = 1024
BOOT_S = 900.0
"""Software emulation on a machine that does other things, too."""
COMMAND_S = 600.0

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Link:
    """One of a machine's network interfaces, the first of which is its eth0."""

    tap: str
    """Its other end, in the hypervisor's place."""
    mac: str
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    gateway: IPv4Address | None = None

    def kernel_words(self, interface: str) -> str:
        """For the kernel's command line, read by systemd-network-generator(8)."""
        return " ".join(self._kernel_word(address, interface) for address in self.addresses)

    def _kernel_word(self, address: IPv4Interface | IPv6Interface, interface: str) -> str:
        if isinstance(address, IPv6Interface):
            return f"ip=[{address.ip}]:::{address.network.prefixlen}::{interface}:off"
        return f"ip={address.ip}::{self.gateway or ''}:{address.netmask}::{interface}:off"

    def devices(self) -> list[str]:
        """QEMU's words."""
        backend = f"tap,id={self.tap},ifname={self.tap},script=no,downscript=no,vhost=off"
        return ["-netdev", backend, "-device", f"virtio-net-pci,netdev={self.tap},mac={self.mac}"]


class Guest:
    """A machine by its name; nothing is done before `power_on`."""

    def __init__(self, name: str, host: Machine, links: Sequence[Link], image: Image, log: Path, accel: str) -> None:
        """host: the place with the taps. log: takes the console."""
        self.name = name
        self._host = host
        self._links = links
        self._image = image
        self._log = log
        self._accel = accel
        self._channel: socket.socket | None = None
        self._overlay = f"/run/{name}.qcow2"
        self._socket = f"/run/{name}.agent"

    def power_on(self, wait: bool = True) -> None:
        """Boot; with `wait`, return when Debian has started all that there is."""
        if not self._host.path(self._overlay).exists():
            backing = ["-b", str(self._image.disk), "-F", "raw"]
            self._host.run_logged(["qemu-img", "create", "-q", "-f", "qcow2", *backing, self._overlay], self._log)
        self._host.start_service(self.name, self._command(), self._log)
        if wait:
            self.wait_booted()

    def power_off(self) -> None:
        """As if its cable to the wall had been pulled; the disk stays."""
        self._disconnect()
        running = self._host.service(self.name)
        if running is None:
            raise LabError(f"{self.name} is off")
        signal_service(running, SIGKILL, wait_s=10.0)

    def run(
        self, *command: str, check: bool = True, input: str = "", timeout_s: float = COMMAND_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root. LabError if it fails (with `check`) or the machine does not answer in time."""
        if self._channel is None:
            self._channel = self._connect(timeout_s)
        done = self._ask(self._channel, list(command), input, timeout_s)
        if check and done.returncode:
            said = (done.stderr.strip() or done.stdout.strip())[-2000:]
            raise LabError(f"`{' '.join(command)}` failed on {self.name} with status {done.returncode}: {said}")
        return done

    def shell(self, script: str, check: bool = True, timeout_s: float = COMMAND_S) -> str:
        """What a shell script prints, without the last line's end."""
        return self.run("sh", "-ec", script, check=check, timeout_s=timeout_s).stdout.rstrip("\n")

    def reboot(self) -> None:
        """The planned way; returns when Debian has booted again."""
        before = self.shell("cat /proc/sys/kernel/random/boot_id")
        with contextlib.suppress(LabError):  # it may be gone before it has answered
            self.run("systemctl", "--no-block", "reboot", timeout_s=5.0)
        self._disconnect()
        self.wait_booted(other_than=before)

    def wait_booted(self, other_than: str = "") -> None:
        """Until systemd has started all that there is; `other_than`: the boot_id (random(4)) that is over."""
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline:
            try:
                self._channel = self._channel or self._connect(deadline - time.monotonic())
                boot = self._ask(self._channel, ["cat", "/proc/sys/kernel/random/boot_id"], "", 5.0).stdout.strip()
                if boot and boot != other_than:
                    self.run("systemctl", "is-system-running", "--wait", check=False, timeout_s=BOOT_S)
                    return
            except LabError:
                self._disconnect()
        raise LabError(f"{self.name} did not boot within {BOOT_S:g} s; its console is in {self._log}")

    def _command(self) -> list[str]:
        networks = " ".join(link.kernel_words(f"eth{number}") for number, link in enumerate(self._links))
        named = f"systemd.hostname={self.name} net.ifnames=0 {networks}"
        kernel = f"root=/dev/vda rw console=ttyS0 quiet systemd.show_status=no {named}"
        return [
            "qemu-system-x86_64", "-name", self.name, "-nodefaults", "-display", "none", "-serial", "stdio",
            "-accel", self._accel, "-cpu", "max", "-smp", "1", "-m", str(MEMORY_MB),
            "-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd), "-append", kernel,
            "-drive", f"file={self._overlay},if=virtio,cache=unsafe",
            *self._more_disks(),
            *(word for link in self._links for word in link.devices()),
            "-chardev", f"socket,id=agent,path={self._socket},server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=lab.agent",
            "-device", "virtio-rng-pci",
        ]  # fmt: skip

    def _more_disks(self) -> Iterator[str]:
        """What is written to them is gone with the machine."""
        for disk in self._image.more_disks:
            yield from ("-drive", f"file={disk},if=virtio,format=raw,snapshot=on")

    def _connect(self, timeout_s: float) -> socket.socket:
        """The channel, once somebody inside answers on it."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                channel.connect(str(self._host.path(self._socket)))
                self._ask(channel, ["true"], "", 1.0)
                return channel
            except (OSError, LabError):
                channel.close()
                time.sleep(0.1)
        raise LabError(f"{self.name} does not answer; its console is in {self._log}")

    def _ask(
        self, channel: socket.socket, command: list[str], text: str, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        number = f"{os.getpid()}.{next(_numbers)}"
        request = {"id": number, "command": command, "input": text, "timeout_s": timeout_s}
        try:
            channel.settimeout(timeout_s + 5.0)
            channel.sendall(json.dumps(request).encode() + b"\n")
            while (reply := json.loads(_line(channel)))["id"] != number:
                pass
        except (OSError, ValueError) as error:
            self._disconnect()
            raise LabError(f"{self.name} did not answer `{' '.join(command)}`: {error}") from None
        return subprocess.CompletedProcess(command, reply["status"], reply["stdout"], reply["stderr"])

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _line(channel: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        received = channel.recv(65_536)
        if not received:
            raise ConnectionError("the connection ended")
        line += received
    return line
