"""A disk for each machine: an ext4 file system in a sparse file, which a power cut stops in the middle of its work.

The machines of a lab share the host's files, but the two nodes of a mirror must not: both replicate the same path. So a
node's /srv and /var/lib are on a disk of its own, which outlives the machine as a disk does.

A power cut is ext4's own (EXT4_IOC_SHUTDOWN without flushing its journal, linux/ext4.h, as xfstests uses it): from that
instant nothing more is written, what was only in the page cache is lost, and the next mount replays the journal. What
had been handed to the disk stays, as on a disk whose own cache is safe.
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from pathlib import Path

from lab.errors import LabError
from lab.machine import Machine
from lab.waiting import until

ROOT = Path("/var/tmp")
"""Disks are too large for /run, which is memory on most machines."""
MOUNTED = "/run/disk"
FOLDERS = ("/srv", "/var/lib")
SIZE_BYTES = 8 << 30
"""Sparse: it takes what is written to it."""
EXT4_IOC_SHUTDOWN = 0x8004587D
EXT4_GOING_FLAGS_NOLOGFLUSH = 2

_MOUNT = """
set -e
mkdir "$2"
mount -o loop,noinit_itable "$1" "$2"
disk=$2
shift 2
for folder in "$@"; do mkdir -p "$disk$folder"; mount --bind "$disk$folder" "$folder"; done
"""


class Disk:
    """The disk of one machine of one lab."""

    def __init__(self, lab: str, place: str) -> None:
        self.folder = ROOT / f"farm-lab.{lab}"
        self.image = self.folder / place

    def plug(self, there: Machine, log: Path) -> None:
        """Mount it in a machine that has just been switched on; it is made when there is none yet."""
        if not self.image.exists():
            self._make()
        there.run_logged(["sh", "-c", _MOUNT, "sh", str(self.image), MOUNTED, *FOLDERS], log)

    def cut_power(self, there: Machine) -> None:
        """The disk stops where it is. What a program still writes fails."""
        descriptor = os.open(there.path(MOUNTED), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("=I", EXT4_GOING_FLAGS_NOLOGFLUSH))
        finally:
            os.close(descriptor)

    def wait_unplugged(self) -> None:
        """Wait until the kernel has let go of it, some time after the machine's last process has ended."""
        until(lambda: not self._attached(), f"the kernel to let go of {self.image}", timeout_s=20, interval_s=0.01)

    def remove(self) -> None:
        self.wait_unplugged()
        self.image.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _make(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        unfinished = self.image.with_suffix(".new")
        with unfinished.open("wb") as file:
            file.truncate(SIZE_BYTES)
        options = ["-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1"]
        done = subprocess.run(["mkfs.ext4", *options, unfinished], capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"mkfs.ext4 could not make {self.image}: {done.stderr.strip()}")
        unfinished.rename(self.image)

    def _attached(self) -> bool:
        """Whether a loop device still has it (sysfs: block/loopN/loop/backing_file)."""
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                if backing.read_text().strip().removesuffix(" (deleted)") == str(self.image):
                    return True
            except OSError:
                continue
        return False
