"""Random file operations from a seed: what they do is the same each time, and on each file system that is right.

One process is deterministic: its outcomes, errors included, can be compared with those on another file system. Several
work on the same few names, so that they race; then only the trees of the two nodes can be compared. An error that no
race explains ends the run.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

NAMES = [b"a", b"b", b"c", b"two words", b"\xff\xfe", b"line\nfeed", b"x" * 255, "ü".encode()]
FOLDERS = [b"", b"d1", b"d2", b"d1/d3", b"d1/d3/d4"]
SIZE_MAX = 300_000
HELD_MAX = 6
ORDINARY = {
    errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ELOOP, errno.EINVAL, errno.EPERM,
    errno.EACCES, errno.ENODATA, errno.ENXIO, errno.ESPIPE, errno.EBADF, errno.ENODEV, errno.EOPNOTSUPP, errno.EAGAIN,
    errno.EPIPE, errno.ENAMETOOLONG,
}  # fmt: skip
"""What these operations may end with on a healthy file system."""

Outcome = tuple[str, str, object]
"""Operation, path, and its result or the name of its error."""

Operation = Callable[["Exerciser", bytes], object]


class Exerciser:
    """One process' operations on one directory."""

    def __init__(self, folder: Path, seed: object, weights: Sequence[tuple[Operation, int]], own: str = "") -> None:
        """With others in the same folder, `own` begins the names that only this one uses."""
        self.folder = os.fsencode(folder)
        self.own_names = [b"%b-%d" % (own.encode(), number) for number in range(3)] if own else NAMES
        self.random = random.Random(f"{seed}")
        self.held: list[int] = []
        """Open files; many of them have no name any more."""
        self._operations = [operation for operation, weight in weights for _ in range(weight)]

    def run(self, operations: int) -> list[Outcome]:
        """The outcomes of so many operations; OSError for an error that is not ordinary."""
        try:
            return [self._one() for _ in range(operations)]
        finally:
            for descriptor in self.held:
                os.close(descriptor)

    def _one(self) -> Outcome:
        operation = self.random.choice(self._operations)
        path = self.path()
        try:
            result = operation(self, path)
        except OSError as error:
            if error.errno not in ORDINARY:
                error.add_note(f"in {operation.__name__} of {path!r}")
                raise
            result = errno.errorcode[error.errno]
        return operation.__name__, os.fsdecode(path.removeprefix(self.folder)), result

    def path(self) -> bytes:
        return os.path.join(self.folder, self.random.choice(FOLDERS), self.random.choice(NAMES))

    def own_path(self) -> bytes:
        """Of a file that may be mapped: it is not truncated beneath the mapping, which would be a SIGBUS (mmap(2))."""
        return os.path.join(self.folder, self.random.choice(FOLDERS), self.random.choice(self.own_names))

    def some_folder(self) -> bytes:
        return os.path.join(self.folder, self.random.choice(FOLDERS[1:]))

    def range(self) -> tuple[int, int]:
        """Offset and length; often at the edges of pages."""
        edge = self.random.choice((1, 1, 512, 4096))
        offset = self.random.randrange(SIZE_MAX) // edge * edge
        return offset, max(1, self.random.choice((1, 100, 4096, 20_000, 70_000)) // edge * edge)

    def some_bytes(self, length: int) -> bytes:
        return self.random.randbytes(length)

    @contextmanager
    def opened(self, path: bytes, flags: int = os.O_RDWR) -> Iterator[int]:
        """A descriptor; a FIFO does not block."""
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
