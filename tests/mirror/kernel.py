"""The kernel above a capture: it finds paths by what it has looked up, holds what is open, and lets go of the rest.

Requests are written as the kernel writes them, so everything below the device is the real thing; no mount is needed,
and one thread does it all, in an order that a test decides.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import struct
from collections import Counter
from collections.abc import Callable

from mirrord.volume.files.tree import ROOT
from mirrord.volume.fuse import abi
from mirrord.volume.fuse.abi import IN, OUT, Op
from mirrord.volume.fuse.capture import Capture

UNIQUE = 42
EXCHANGE = 2
_MODE_AT = 100
"""In an entry: struct fuse_entry_out, then struct fuse_attr up to its mode."""
_NS = 1_000_000_000


class Kernel:
    """settle: called after each request, as the intake does after a batch. answers: where the capture's answers can be
    read, without waiting. wait: called as long as one does not come."""

    def __init__(self, capture: Capture, settle: Callable[[], None], answers: int, wait: Callable[[], None]) -> None:
        self.capture = capture
        self._settle = settle
        self._answers = answers
        self._wait = wait
        self._dentries: dict[tuple[int, bytes], int] = {}
        self._lookups: Counter[int] = Counter()
        self._opened: Counter[int] = Counter()
        self._types: dict[int, int] = {ROOT: stat.S_IFDIR}

    # -- what applications call ----------------------------------------------------------------------------------------

    def open(self, path: str) -> int:
        """A file's node; it stays known until `release`."""
        node = self.find(path)
        if not stat.S_ISREG(self._types[node]):
            raise OSError(errno.EINVAL, path)
        self._opened[node] += 1
        return node

    def release(self, node: int) -> None:
        self._opened[node] -= 1
        self._drop_unnamed(node)

    def write(self, path: str, content: bytes, offset: int = 0) -> None:
        node = self.open(path)
        self.write_to(node, content, offset)
        self.release(node)

    def write_to(self, node: int, content: bytes, offset: int = 0) -> None:
        for at in range(0, len(content), abi.WRITE_BYTES_MAX):
            piece = content[at : at + abi.WRITE_BYTES_MAX]
            self._ask(Op.WRITE, node, abi.WRITE_IN.pack(0, offset + at, len(piece), 0, 0, 0, 0) + piece)

    def truncate(self, path: str, size: int) -> None:
        node = self.open(path)
        try:
            self.truncate_to(node, size)
        finally:
            self.release(node)

    def truncate_to(self, node: int, size: int) -> None:
        self._set(node, abi.SET_SIZE, size=size)

    def punch(self, path: str, offset: int, length: int) -> None:
        self.allocate(path, 3, offset, length)

    def allocate(self, path: str, mode: int, offset: int, length: int) -> None:
        node = self.open(path)
        try:
            self._ask(Op.FALLOCATE, node, abi.FALLOCATE_IN.pack(0, offset, length, mode, 0))
        finally:
            self.release(node)

    def make(self, path: str, mode: int, target: bytes = b"", rdev: int = 0) -> None:
        folder, name = self.place(path)
        if stat.S_ISDIR(mode):
            answer = self._ask(Op.MKDIR, folder, abi.MKDIR_IN.pack(stat.S_IMODE(mode), 0) + name + b"\0")
        elif stat.S_ISLNK(mode):
            answer = self._ask(Op.SYMLINK, folder, name + b"\0" + target + b"\0")
        else:
            device = abi.encoded_device(os.major(rdev), os.minor(rdev))
            answer = self._ask(Op.MKNOD, folder, abi.MKNOD_IN.pack(mode, device, 0, 0) + name + b"\0")
        self._meet(folder, name, answer)

    def create(self, path: str, content: bytes = b"", mode: int = 0o644) -> None:
        self.make(path, stat.S_IFREG | mode)
        if content:
            self.write(path, content)

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        self.make(path, stat.S_IFDIR | mode)

    def open_unnamed(self, folder: str) -> int:
        """O_TMPFILE."""
        head = abi.TMPFILE_IN.pack(os.O_RDWR, stat.S_IFREG | 0o600, 0, 0)
        node = self._count(self._ask(Op.TMPFILE, self.find(folder), head + b"\0"))
        self._opened[node] += 1
        return node

    def remove(self, path: str) -> None:
        folder, name = self.place(path)
        node = self._step(folder, name)
        self._ask(Op.RMDIR if stat.S_ISDIR(self._types[node]) else Op.UNLINK, folder, name + b"\0")
        self._lose(folder, name)

    def rename(self, old_path: str, new_path: str, flags: int = 0) -> None:
        (old_folder, old), (folder, new) = self.place(old_path), self.place(new_path)
        moving, replaced = self._step(old_folder, old), self._look(folder, new)
        if moving == replaced:
            return  # two names of one object: nothing is done, and nobody asked
        body = abi.RENAME2_IN.pack(folder, flags, 0) + old + b"\0" + new + b"\0"
        self._ask(Op.RENAME2, old_folder, body)
        self._dentries.pop((old_folder, old), None)
        self._dentries[folder, new] = moving
        if replaced and flags & EXCHANGE:
            self._dentries[old_folder, old] = replaced
        elif replaced:
            self._drop_unnamed(replaced)

    def link_to(self, path: str, new_path: str) -> None:
        self.name_it(self.find(path), new_path)

    def name_it(self, node: int, new_path: str) -> None:
        folder, name = self.place(new_path)
        if stat.S_ISDIR(self._types[node]):
            raise PermissionError(new_path)
        self._meet(folder, name, self._ask(Op.LINK, folder, abi.NODE_IN.pack(node) + name + b"\0"))

    def chmod(self, path: str, mode: int) -> None:
        node = self.find(path)
        if stat.S_ISLNK(self._types[node]):
            raise OSError(errno.EOPNOTSUPP, path)
        self._set(node, abi.SET_MODE, mode=mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        self._set(self.find(path), abi.SET_UID | abi.SET_GID, uid=uid, gid=gid)

    def stamp(self, path: str, mtime_ns: int) -> None:
        seconds, rest = divmod(mtime_ns, _NS)
        valid = abi.SET_ATIME | abi.SET_MTIME
        self._set(self.find(path), valid, atime=seconds, mtime=seconds, atime_ns=rest, mtime_ns=rest)

    def setxattr(self, path: str, name: bytes, value: bytes) -> None:
        head = abi.SETXATTR_IN.pack(len(value), 0, 0, 0)
        self._ask(Op.SETXATTR, self.find(path), head + name + b"\0" + value)

    def removexattr(self, path: str, name: bytes) -> None:
        self._ask(Op.REMOVEXATTR, self.find(path), name + b"\0")

    # -- what it remembers ---------------------------------------------------------------------------------------------

    def find(self, path: str) -> int:
        node = ROOT
        for name in filter(None, os.fsencode(path).split(b"/")):
            node = self._step(node, name)
        return node

    def place(self, path: str) -> tuple[int, bytes]:
        above, _, name = path.rpartition("/")
        folder = self.find(above)
        if not stat.S_ISDIR(self._types[folder]):
            raise NotADirectoryError(path)
        return folder, os.fsencode(name)

    def shrink(self, chance: random.Random | None = None) -> None:
        """Names are forgotten, and what has none then; all that can be, or half of it by chance."""
        for place, node in reversed(list(self._dentries.items())):
            if self._is_leaf(node) and (chance is None or chance.random() < 0.5):
                del self._dentries[place]
        named = set(self._dentries.values())
        for node in list(self._lookups):
            if node not in named and not self._opened[node] and (chance is None or chance.random() < 0.5):
                self._forget(node)

    def forget_all(self) -> None:
        while self._dentries:
            self.shrink()

    def _step(self, folder: int, name: bytes) -> int:
        node = self._look(folder, name)
        if node is None:
            raise FileNotFoundError(name)
        return node

    def _look(self, folder: int, name: bytes) -> int | None:
        known = self._dentries.get((folder, name))
        if known is not None:
            return known
        if not stat.S_ISDIR(self._types[folder]):
            raise NotADirectoryError(name)
        answer = self._ask(Op.LOOKUP, folder, name + b"\0")
        return None if answer == abi.NO_ENTRY else self._meet(folder, name, answer)

    def _meet(self, folder: int, name: bytes, answer: bytes) -> int:
        node = self._dentries[folder, name] = self._count(answer)
        return node

    def _count(self, answer: bytes) -> int:
        (node,) = struct.unpack_from("<Q", answer)
        (self._types[node],) = struct.unpack_from("<I", answer, _MODE_AT)
        self._lookups[node] += 1
        return int(node)

    def _is_leaf(self, node: int) -> bool:
        return not stat.S_ISDIR(self._types[node]) or all(folder != node for folder, _ in self._dentries)

    def _lose(self, folder: int, name: bytes) -> None:
        self._drop_unnamed(self._dentries.pop((folder, name)))

    def _drop_unnamed(self, node: int) -> None:
        """What has lost its last name is not kept in memory, unless it is open."""
        if self.capture.tree.is_orphan(node) and not self._opened[node]:
            self._forget(node)

    def _forget(self, node: int) -> None:
        self._tell(Op.FORGET, node, abi.NODE_IN.pack(self._lookups.pop(node)))
        del self._types[node]

    # -- requests ------------------------------------------------------------------------------------------------------

    def _set(self, node: int, valid: int, **values: int) -> None:
        names = (
            "size", "lock_owner", "atime", "mtime", "ctime", "atime_ns", "mtime_ns", "ctime_ns", "mode", "unused",
            "uid", "gid", "unused",
        )  # fmt: skip
        self._ask(Op.SETATTR, node, abi.SETATTR_IN.pack(valid, 0, 0, *(values.get(name, 0) for name in names)))

    def _tell(self, op: Op, node: int, body: bytes) -> None:
        message = IN.pack(IN.size + len(body), op, UNIQUE, node, 0, 0, 1, 0, 0) + body
        self.capture.handle(memoryview(message))
        self._settle()

    def _ask(self, op: Op, node: int, body: bytes) -> bytes:
        self._tell(op, node, body)
        while True:
            try:
                answer = os.read(self._answers, 1 << 16)
                break
            except BlockingIOError:
                self._wait()
        length, error, unique = OUT.unpack_from(answer)
        assert (length, unique) == (len(answer), UNIQUE)
        if error:
            raise OSError(-error, os.strerror(-error))
        return answer[OUT.size :]
