"""Who writes to a mirror under test, what must be there afterwards, and a disk that is soon full."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from lab.waiting import until
from tests.posix.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]


class Writer:
    """A process that writes numbers one after the other and says which ones were acknowledged."""

    PROGRAM = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
for number in range(10**9):
    os.pwrite(fd, number.to_bytes(8, 'big'), number % 4096 * 8)
    os.write(1, number.to_bytes(8, 'big'))
"""

    def __init__(self, path: Path) -> None:
        self.acknowledged = -1
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.PROGRAM, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while number := self._process.stdout.read(8):
            self.acknowledged = int.from_bytes(number, "big")

    def goes_on(self) -> None:
        """Until some more writes were acknowledged."""
        before = self.acknowledged
        until(lambda: self.acknowledged > before + 50, "more acknowledged writes", 20)

    def end(self) -> int:
        """The newest acknowledged number."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return self.acknowledged


class Recorder:
    """Processes that write, append, rename, unlink and sync in a directory (tests/posix/recorder.py); the ledger knows
    what they were promised."""

    def __init__(self, directory: Path, ledger: Ledger) -> None:
        self.ledger = ledger
        command = [sys.executable, "-m", "tests.posix.recorder", str(directory), "--seconds=600", "--workers=2"]
        self._process = subprocess.Popen([*command, f"--first={ledger.last + 1}"], stdout=subprocess.PIPE, cwd=ROOT)
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=ledger.read, args=[self._process.stdout])
        self._reader.start()

    def goes_on(self, operations: int) -> None:
        """Until so many more operations were acknowledged."""
        wanted = self.ledger.acknowledged + operations
        until(lambda: self.ledger.acknowledged >= wanted, f"{operations} more acknowledged operations", 20)

    def end(self) -> None:
        """In the middle of whatever they do."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def has_everything(path: Path, acknowledged: int) -> bool:
    """Whether the file has every number up to this one, or a later one in its place."""
    content = path.read_bytes()
    numbers = [int.from_bytes(content[at : at + 8], "big") for at in range(0, len(content), 8)]
    return all(numbers[number % 4096] >= number for number in range(max(0, acknowledged - 4095), acknowledged + 1))


class small_disk:  # noqa: N801 - used like a function
    """An ext4 of 24 MB at this place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._image = path.with_suffix(".image")

    def __enter__(self) -> None:
        self._path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(24 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(self._image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self._path)], check=True)

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", str(self._path)], check=True)
