"""What the machines boot from: Debian's kernel, and a disk with Debian and the product on it.

Both are kept in FARMD_LAB_CACHE, or /var/cache/farmd-lab-vm, and built again only when what they are made of changes:
the base (debootstrap, about 90 s) with the list of packages, the disk (about 25 s) with the checkout's sources.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from farmd import __version__
from lab.errors import LabError
from lab.machine import CHECKOUT

SUITE = "bookworm"
PACKAGES = (
    "systemd-sysv", "udev", "dbus", "kmod", "linux-image-amd64", "initramfs-tools", "iproute2", "procps",
    "python3-venv", "python3-bpfcc", "libbpf1", "linux-libc-dev",  # what README asks for
    "nginx-light", "postgresql",
)  # fmt: skip
"""The last two lines are the administrator's work; the first is what any Debian machine has."""

HERE = Path(__file__).parent
BUILD = HERE / "build.sh"
AGENT = HERE / "agent.py"
NEXT_VERSION = f"{__version__}.post1"
"""A later version of the product (PEP 440), of the same sources, for the upgrade."""


@dataclass(frozen=True, slots=True)
class Image:
    """What one machine needs; the disk is read only, a machine writes to an overlay of its own."""

    kernel: Path
    initrd: Path
    disk: Path
    more_disks: tuple[Path, ...] = ()
    """/dev/vdb and so on."""


@contextlib.contextmanager
def cached(say: Callable[[str], None]) -> Iterator[Image]:
    """The image for the sources as they are now; builds what is missing, one process at a time. It stays for as long as
    this lasts, also when other sources want another."""
    cache = Path(os.environ.get("FARMD_LAB_CACHE", "/var/cache/farmd-lab-vm"))
    cache.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as in_use:
        with _locked(cache, fcntl.LOCK_EX):
            base = _base(cache, say)
            disk = _disk(cache, base, say)
            for path in (base, disk):
                in_use.enter_context(_locked(path, fcntl.LOCK_SH))
        yield Image(base / "vmlinuz", base / "initrd", disk)


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    """flock(2); BlockingIOError if the lock is not to be waited for and somebody has it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _base(cache: Path, say: Callable[[str], None]) -> Path:
    recipe = hashlib.sha256(repr((SUITE, PACKAGES)).encode()).hexdigest()[:12]
    base = cache / f"base-{recipe}"
    if not base.exists():
        say(f"Building a Debian tree in {cache}; a minute or two, once.")
        _remove(cache.glob("base-*"))
        fresh = cache / "base-new"
        fresh.mkdir()
        _build("base", fresh, _mirror(), SUITE, *PACKAGES)
        fresh.rename(base)
    return base


def _disk(cache: Path, base: Path, say: Callable[[str], None]) -> Path:
    disk = cache / f"disk-{_digest(base.name)}.ext4"
    if not disk.exists():
        say("Installing the product on the machines' disk; half a minute for each change of the sources.")
        _remove(cache.glob("disk-*"))
        with tempfile.TemporaryDirectory() as folder:
            _wheels(Path(folder))
            _build("image", base, folder, AGENT, disk)
    return disk


def _digest(base: str) -> str:
    """Of everything that the disk is made of."""
    found = hashlib.sha256(base.encode())
    for path in [BUILD, AGENT, *_sources()]:
        found.update(f"{path}\0".encode() + path.read_bytes())
    return found.hexdigest()[:12]


def _sources() -> Iterator[Path]:
    """What the wheel is made of."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    yield from (CHECKOUT / "pyproject.toml", CHECKOUT / "README.md")
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        yield from sorted(
            path for path in (CHECKOUT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        )


def _wheels(folder: Path) -> None:
    """now/: the product with its dependencies; next/: a later version of the product."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir"]
    with tempfile.TemporaryDirectory() as copy:
        for source in _sources():
            target = Path(copy, source.relative_to(CHECKOUT))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        _run([*pip, str(folder / "now"), copy])
        version = Path(copy, "farmd", "__init__.py")
        version.write_text(version.read_text().replace(f'"{__version__}"', f'"{NEXT_VERSION}"'))
        _run([*pip, str(folder / "next"), "--no-deps", copy])


def _mirror() -> str:
    """Where this machine gets Debian from."""
    columns = "$(REPO_URI) $(CODENAME) $(COMPONENT)"
    for line in _run(["apt-get", "indextargets", "--format", columns, "Created-By: Packages"]).splitlines():
        address, codename, component = line.split()
        if (codename, component) == (SUITE, "main"):
            return address
    raise LabError(f"apt's sources on this machine name no mirror of Debian {SUITE}, from which to build one")


def _build(step: str, *arguments: object) -> None:
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    _run([*namespaces, str(BUILD), step, *(str(argument) for argument in arguments)])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        raise LabError(f"{' '.join(command[:8])} ... failed:\n{last}")
    return done.stdout


def _remove(paths: Iterator[Path]) -> None:
    """Of an earlier recipe, or of a step that failed; what is in use stays."""
    for path in paths:
        with contextlib.suppress(BlockingIOError), _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
