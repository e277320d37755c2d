"""The filter of one interface as it outlives processes: programs and maps pinned in bpffs, and a file that tells how
they are laid out.

    FARMD_BPFFS/farmd/INTERFACE/{farm_xdp,farm_tc,slots,...}     FARMD_BPFFS is /sys/fs/bpf unless set
    FARMD_RUN/@INTERFACE.json                                    FARMD_RUN is /run/farmd unless set

The order of steps makes a kill at any moment harmless: all is pinned into a folder aside, then the file is written,
then the folder gets its name. So whenever the named folder exists it is complete and described. Every change is made
under the interface's lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bpf import kernel, layout, loader
from farmd.compiled import compiled_filter, forget, with_log
from farmd.errors import MachineError
from farmd.kit.lock import Lock, run_folder
from farmd.kit.whole import write_whole

_BPF_FS_MAGIC = 0xCAFE4A11
_MOUNT_FLAGS = 2 | 4 | 8  # MS_NOSUID | MS_NODEV | MS_NOEXEC, as systemd mounts it


@dataclass(frozen=True, slots=True)
class Description:
    """What the file beside the pins tells."""

    source: str
    """Digest of the C sources that were compiled."""
    maps: dict[str, dict[str, Any]]
    """The maps as the compiler describes them."""
    clsact_is_ours: bool = False
    """Whether we gave the interface its clsact qdisc, and so may take it away."""


class Pins:
    """Where one interface's filter is pinned. Whoever calls holds `lock`, the interface's."""

    def __init__(self, interface: str) -> None:
        # bpffs takes no name with a dot in it, and VLAN interfaces have one.
        name = interface.replace("%", "%25").replace(".", "%2e")
        root = bpffs_folder() / "farmd"
        self.folder = root / name
        self._aside = root / f"%loading-{name}"
        # The sign keeps these files apart from those that carry a farm's name.
        self.lock = Lock(run_folder() / f"@{interface}.lock")
        self._file = run_folder() / f"@{interface}.json"
        self._log = run_folder() / f"@{interface}.loader.log"

    def exist(self) -> bool:
        """Whether a filter is loaded."""
        return self.folder.is_dir()

    def read(self) -> Description:
        """How the pinned filter is laid out."""
        try:
            return Description(**json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise MachineError(
                f"the filter pinned in {self.folder} is not described in {self._file} ({error}); "
                f"stop every farmd on this interface and remove that folder"
            ) from error

    def write(self, description: Description) -> None:
        """Replace the description in one step."""
        write_whole(self._file, json.dumps(asdict(description)))

    def note_clsact(self) -> None:
        """Remember, before it is done, that we give the interface its clsact qdisc."""
        self.write(replace(self.read(), clsact_is_ours=True))

    def load(self) -> None:
        """Load and pin the filter; raises MachineError and leaves nothing."""
        mount_bpffs()
        try:
            loader.check_kernel(os.uname().release)
            compiled = compiled_filter(self._log)
            with loader.loaded(compiled) as objects:
                self._pin(objects)
            self.write(Description(layout.source_digest(), compiled["maps"]))
            self._aside.rename(self.folder)
        except loader.RefusedError as refused:
            forget()
            raise MachineError(self._told(refused)) from refused
        except OSError as error:
            raise MachineError(f"the filter cannot be pinned in {self._aside}: {error.strerror}") from error
        finally:
            if not self.exist():
                self.remove()

    def remove(self) -> None:
        """Remove the pins and then what describes them; the programs go when no interface runs them any more."""
        for folder in (self.folder, self._aside):
            shutil.rmtree(folder, ignore_errors=True)
        self._file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another interface's pins are there; or nothing ever was
            self.folder.parent.rmdir()

    def _pin(self, objects: Mapping[str, int]) -> None:
        self._aside.parent.mkdir(exist_ok=True)
        shutil.rmtree(self._aside, ignore_errors=True)  # of somebody who was killed
        self._aside.mkdir()
        for name, fd in objects.items():
            kernel.object_pin(fd, self._aside / name)

    def _told(self, refused: loader.RefusedError) -> str:
        if not refused.log:
            return str(refused)
        self._log.touch(mode=0o600)
        self._log.write_text(refused.log)
        return with_log(str(refused), self._log)


def bpffs_folder() -> Path:
    """FARMD_BPFFS, or /sys/fs/bpf."""
    return Path(os.environ.get("FARMD_BPFFS", "/sys/fs/bpf"))


def mount_bpffs() -> None:
    """Mount the file system of pins where it belongs if nothing is mounted there, as systemd would have."""
    folder = bpffs_folder()
    libc = ctypes.CDLL(None, use_errno=True)
    folder.mkdir(parents=True, exist_ok=True)
    if _file_system(libc, folder) == _BPF_FS_MAGIC:
        return
    if folder.is_mount():
        raise MachineError(f"{folder} must be a bpf file system, and another one is mounted there")
    if libc.mount(b"bpf", os.fsencode(folder), b"bpf", ctypes.c_ulong(_MOUNT_FLAGS), b"mode=0700") != 0:
        raise MachineError(f"the bpf file system cannot be mounted on {folder}: {os.strerror(ctypes.get_errno())}")


def _file_system(libc: ctypes.CDLL, path: Path) -> int:
    """The magic number in statfs(2), the first word of the struct."""
    answer = (ctypes.c_long * 32)()
    if libc.statfs(os.fsencode(path), answer) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    return answer[0]
