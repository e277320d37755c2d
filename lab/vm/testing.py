"""The tests that need no lab, on Debian's kernel: one machine, the checkout and its environment on a second disk."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.machine import CHECKOUT
from lab.vm.image import Image
from lab.vm.network import VirtualLab

HERE = "/srv/checkout"
PARTS = ("farmd", "mirrord", "bpf", "lab", "tests", "pyproject.toml", "README.md")
NOT_NEEDED = shutil.ignore_patterns("__pycache__", "mypy*", "ruff*", "scapy*")
"""The first would hide what a test breaks, the others are large."""
PYTEST = f"""
cd {HERE}
ulimit -n $(ulimit -Hn)
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={HERE}:{HERE}/site exec python3 -m pytest -q -p no:cacheprovider "$@" 2>&1
"""
DISK_MB = 512
TESTS_S = 7200.0
"""Software emulation, many times slower."""


def run(name: str, image: Image, accel: str, wanted: Sequence[str], say: Callable[[str], None]) -> int:
    """Runs pytest with these arguments; its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        disk = _disk(Path(folder))
        with VirtualLab(name, 1, dataclasses.replace(image, more_disks=(disk,)), accel) as lab:
            guest = lab.guests["n1"]
            say(f"Running {' '.join(wanted)} on Linux {guest.shell('uname -r')}.")
            guest.shell(f"mkdir {HERE} && mount /dev/vdb {HERE}")
            done = guest.run("sh", "-c", PYTEST, "sh", *wanted, check=False, timeout_s=TESTS_S)
    say(done.stdout.rstrip())
    return done.returncode


def _disk(folder: Path) -> Path:
    tree, disk = folder / "tree", folder / "disk.ext4"
    for part in PARTS:
        source = CHECKOUT / part
        if source.is_dir():
            shutil.copytree(source, tree / part, ignore=NOT_NEEDED)
        else:
            shutil.copy(source, tree / part)
    (site,) = CHECKOUT.glob(".venv/lib/python3*/site-packages")
    shutil.copytree(site, tree / "site", ignore=NOT_NEEDED)
    with disk.open("wb") as file:
        file.truncate(DISK_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", str(tree), str(disk)], check=True)
    return disk
