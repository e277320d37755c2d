"""What the capture asks of the replicator, and in which order: requests as the kernel writes them, without a mount."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import ROOT
from mirrord.volume.fuse import abi
from mirrord.volume.fuse.abi import IN, OUT, Op
from mirrord.volume.fuse.capture import Capture
from mirrord.volume.link.records import LENGTH, OWNED, Kind, Made, Record


class Script:
    """A replicator that writes down what it is asked, and admits what it is told to."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.records: list[Record] = []
        self.closed = False
        self.fenced = False
        self.parked: list[bytes] = []

    def admits(self, capture: Capture, node: int, offset: int = 0, length: int = 0) -> bool:
        self.calls.append(("admits", node, offset, length))
        if self.fenced:
            raise OSError(errno.EIO, "fenced")
        return not self.closed

    def park(self, capture: Capture, message: memoryview) -> None:
        self.parked.append(bytes(message))

    def go_on(self, capture: Capture, message: memoryview) -> None:
        capture.handle(memoryview(bytes(message)))

    def catch_up(self) -> None:
        self.calls.append("catch up")

    def write(self, capture: Capture, node: int, offset: int, content: memoryview, unique: int) -> None:
        self.records.append(Record(Kind.WRITE, 0, node, offset, 0, bytes(content)))
        capture.tree.write(node, content, offset)
        capture.written(unique, len(content))

    def change(self, capture: Capture, record: Record, unique: int = 0, reply: bytes = b"") -> None:
        self.records.append(record)
        if unique:
            capture.answer(unique, reply)

    def stream(self, capture: Capture, records: Iterator[Record], unique: int, reply: bytes) -> None:
        self.records += records
        capture.answer(unique, reply)

    def fsync(self, capture: Capture, node: int, unique: int, *, data_only: bool) -> None:
        self.calls.append(("fsync", node, data_only))
        capture.answer(unique, b"")

    def forgotten(self, capture: Capture, node: int) -> None:
        self.calls.append(("forgotten", node))

    def kinds(self) -> list[Kind]:
        return [Kind(record.kind) for record in self.records]


class Kernel:
    """The other end of a capture's device."""

    def __init__(self, directory: Path) -> None:
        self._answers, self._device = os.pipe()
        self.script = Script()
        self.tree = ServedTree(0, os.open(directory, os.O_RDONLY))
        self.capture = Capture(self.tree, self.script, self._device)
        os.set_blocking(self._answers, False)

    def close(self) -> None:
        self.tree.close()
        os.close(self._answers)
        os.close(self._device)

    def ask(self, op: int, node: int, body: bytes = b"", *, uid: int = 0) -> bytes | int:
        """The answer's content, or its errno."""
        message = IN.pack(IN.size + len(body), op, 42, node, uid, uid, 1, 0, 0) + body
        return self.repeat(message)

    def repeat(self, message: bytes) -> bytes | int:
        self.script.records.clear()
        self.script.calls.clear()
        self.capture.handle(memoryview(message))
        return self.answer()

    def answer(self) -> bytes | int:
        answer = os.read(self._answers, 1 << 16)
        length, error, unique = OUT.unpack_from(answer)
        assert (length, unique) == (len(answer), 42)
        return -error if error else answer[OUT.size :]

    def write(self, node: int, offset: int, content: bytes, flags: int = 0) -> bytes | int:
        return self.ask(Op.WRITE, node, abi.WRITE_IN.pack(0, offset, len(content), flags, 0, 0, 0) + content)

    def truncate(self, node: int, size: int, more: int = 0) -> bytes | int:
        valid = abi.SET_SIZE | more
        return self.ask(Op.SETATTR, node, abi.SETATTR_IN.pack(valid, 0, 0, size, *[0] * 12))

    def make(self, name: bytes, mode: int = stat.S_IFREG | 0o644) -> int:
        answer = self.ask(Op.MKNOD, ROOT, abi.MKNOD_IN.pack(mode, 0, 0o022, 0) + name + b"\0")
        assert isinstance(answer, bytes)
        return int(struct.unpack_from("<Q", answer)[0])


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    made = Kernel(tmp_path)
    yield made
    made.close()


def test_the_first_request_says_what_is_needed_and_refuses_an_old_kernel(kernel: Kernel) -> None:
    def init(minor: int, flags: int) -> bytes | int:
        return kernel.ask(Op.INIT, 0, struct.pack("<IIIII44x", 7, minor, 131072, flags, 0))

    answer = init(45, abi.WANTED | 1 << 16)
    assert isinstance(answer, bytes)
    assert len(answer) == 64
    major, minor, readahead, flags = struct.unpack_from("<IIII", answer)
    assert (major, minor, readahead, flags) == (7, 41, 131072, abi.WANTED)
    assert init(38, abi.WANTED) != errno.EPROTO
    assert init(31, abi.WANTED) == errno.EPROTO
    assert init(38, abi.WANTED & ~abi.HANDLE_KILLPRIV_V2) == errno.EPROTO


def test_what_is_not_served_and_who_is_not_known(kernel: Kernel) -> None:
    assert kernel.ask(14, ROOT, bytes(8)) == errno.ENOSYS  # OPEN: not asked again
    assert kernel.ask(Op.GETATTR, 123456, bytes(16)) == errno.ESTALE
    assert kernel.write(123456, 0, b"x") != b""


def test_a_change_that_is_not_admitted_is_put_aside_untouched(kernel: Kernel, tmp_path: Path) -> None:
    node = kernel.make(b"a")
    kernel.script.closed = True
    attempts: list[Callable[[], object]] = [
        lambda: kernel.make(b"b"),
        lambda: kernel.write(node, 0, b"content"),
        lambda: kernel.truncate(node, 5),
        lambda: kernel.ask(Op.UNLINK, ROOT, b"a\0"),
        lambda: kernel.ask(Op.RENAME, ROOT, abi.NODE_IN.pack(ROOT) + b"a\0c\0"),
        lambda: kernel.ask(Op.LINK, ROOT, abi.NODE_IN.pack(node) + b"c\0"),
        lambda: kernel.ask(Op.SETXATTR, node, abi.SETXATTR_IN.pack(1, 0, 0, 0) + b"user.a\0b"),
        lambda: kernel.ask(Op.FALLOCATE, node, abi.FALLOCATE_IN.pack(0, 0, 4096, 0, 0)),
    ]
    for attempt in attempts:
        with pytest.raises(BlockingIOError):  # no answer
            attempt()
        assert kernel.script.records == []
    assert os.listdir(tmp_path) == ["a"]
    assert os.path.getsize(tmp_path / "a") == 0
    kernel.script.closed = False
    written = kernel.script.parked[1]
    assert kernel.repeat(written) == struct.pack("<II", 7, 0)
    assert (tmp_path / "a").read_bytes() == b"content"


def test_when_fenced_everything_that_changes_is_refused(kernel: Kernel, tmp_path: Path) -> None:
    node = kernel.make(b"a")
    kernel.script.fenced = True
    assert kernel.write(node, 0, b"x") == errno.EIO
    assert kernel.truncate(node, 5) == errno.EIO
    assert kernel.ask(Op.UNLINK, ROOT, b"a\0") == errno.EIO
    assert kernel.script.parked == []
    assert (tmp_path / "a").read_bytes() == b""


def test_every_change_but_a_write_comes_after_the_writes_before_it(kernel: Kernel) -> None:
    node = kernel.make(b"a")
    assert kernel.script.calls[:2] == ["catch up", ("admits", ROOT, 0, 0)]
    kernel.write(node, 4096, b"x" * 10)
    assert kernel.script.calls == [("admits", node, 4096, 10)]
    kernel.ask(Op.GETATTR, node, bytes(16))
    assert kernel.script.calls == ["catch up"]


def test_a_change_of_size_touches_what_it_takes_away(kernel: Kernel) -> None:
    node = kernel.make(b"a")
    kernel.truncate(node, 1 << 43)
    assert kernel.script.calls[1:] == [("admits", node, 0, 0)]
    kernel.write(node, 0, b"x" * 4096)
    kernel.write(node, 1 << 42, b"x" * 8192)
    kernel.truncate(node, (1 << 42) + 4096)
    assert kernel.script.calls[1:] == [("admits", node, 0, 0), ("admits", node, (1 << 42) + 4096, 4096)]
    assert kernel.script.kinds() == [Kind.TRUNCATE]


def test_what_the_kernel_made_of_an_object_is_what_the_peer_is_to_make(kernel: Kernel, tmp_path: Path) -> None:
    node = kernel.make(b"a", stat.S_IFREG | 0o666)
    made = Made.unpack(kernel.script.records[0].payload)
    found = os.stat(tmp_path / "a")
    assert (kernel.script.records[0].node, kernel.script.records[0].offset) == (ROOT, node)
    assert (made.name, made.mode, made.times) == (b"a", 0o100644, (found.st_atime_ns, found.st_mtime_ns))


def test_a_users_write_clears_suid_before_it_and_says_so(kernel: Kernel, tmp_path: Path) -> None:
    node = kernel.make(b"a", stat.S_IFREG | 0o6755)
    kernel.write(node, 0, b"x")
    assert kernel.script.kinds() == [Kind.WRITE]
    kernel.write(node, 0, b"x", abi.WRITE_KILL_SUIDGID)
    assert kernel.script.kinds() == [Kind.OWNER_AND_MODE, Kind.WRITE]
    assert OWNED.unpack(kernel.script.records[0].payload) == (0, 0, 0o755)
    kernel.write(node, 0, b"x", abi.WRITE_KILL_SUIDGID)
    assert kernel.script.kinds() == [Kind.WRITE]
    os.chmod(tmp_path / "a", 0o4755)
    kernel.tree.note_mode(node, 0o4755)
    kernel.truncate(node, 0, abi.SET_KILL_SUIDGID)
    assert kernel.script.kinds() == [Kind.OWNER_AND_MODE, Kind.TRUNCATE]


def test_a_write_beyond_what_a_file_can_be_fails_here_only(kernel: Kernel) -> None:
    node = kernel.make(b"a")
    assert kernel.write(node, 1 << 50, b"x") == errno.EFBIG
    assert kernel.script.records == []
    assert kernel.write(node, (1 << 40) + 1, b"x") == struct.pack("<II", 1, 0)
    assert kernel.script.kinds() == [Kind.WRITE]
    kernel.truncate(node, 0)


def test_errors_of_the_file_system_are_answered_and_not_replicated(kernel: Kernel) -> None:
    node = kernel.make(b"a")
    kernel.script.records.clear()
    assert kernel.ask(Op.UNLINK, ROOT, b"none\0") == errno.ENOENT
    assert kernel.ask(Op.RMDIR, ROOT, b"a\0") == errno.ENOTDIR
    assert kernel.ask(Op.MKDIR, ROOT, abi.MKDIR_IN.pack(0o755, 0) + b"a\0") == errno.EEXIST
    assert kernel.ask(Op.REMOVEXATTR, node, b"user.none\0") == errno.ENODATA
    assert kernel.script.records == []


def test_a_removed_file_that_is_open_concerns_the_peer_no_more(kernel: Kernel) -> None:
    kernel.tree.bound.add(ROOT)
    node = kernel.make(b"a")
    assert node in kernel.tree.bound
    kernel.ask(Op.UNLINK, ROOT, b"a\0")
    assert kernel.script.kinds() == [Kind.UNLINK]
    assert kernel.script.calls[-1] == ("forgotten", node)
    assert kernel.tree.is_orphan(node)
    assert list(kernel.tree.bindings(node)) == []
    with pytest.raises(BlockingIOError):
        kernel.ask(Op.FORGET, node, abi.NODE_IN.pack(1))
    assert node not in kernel.tree.nodes


def test_a_file_that_gets_its_first_name_is_sent_whole_without_its_holes(kernel: Kernel) -> None:
    answer = kernel.ask(Op.TMPFILE, ROOT, abi.TMPFILE_IN.pack(os.O_RDWR, stat.S_IFREG | 0o600, 0, 0) + b"\0")
    assert isinstance(answer, bytes)
    (node,) = struct.unpack_from("<Q", answer)
    assert kernel.script.records == []
    kernel.tree.write(node, memoryview(b"a" * 3_000_000), 0)
    kernel.tree.write(node, memoryview(b"b" * 10), 8 << 20)
    os.truncate(kernel.tree.path(node), 20 << 20)
    kernel.ask(Op.LINK, ROOT, abi.NODE_IN.pack(node) + b"a\0")
    assert ("admits", node, 8 << 20, 4096) in kernel.script.calls
    first, *contents, last = kernel.script.records
    assert (first.kind, first.offset) == (Kind.MAKE, node)
    assert {record.kind for record in contents} == {Kind.WRITE}
    assert 3_000_010 <= sum(len(record.payload) for record in contents) < 3_020_000
    assert (last.kind, last.offset) == (Kind.TRUNCATE, 20 << 20)
    assert not kernel.tree.is_orphan(node)


def test_punching_is_replicated_as_it_was_asked(kernel: Kernel) -> None:
    node = kernel.make(b"a")
    kernel.write(node, 0, b"x" * 10000)
    kernel.ask(Op.FALLOCATE, node, abi.FALLOCATE_IN.pack(0, 4096, 4096, 3, 0))
    assert kernel.script.records == [Record(Kind.ALLOCATE, 0, node, 4096, 3, LENGTH.pack(4096))]


def test_times_are_told_once_for_what_changed(kernel: Kernel, tmp_path: Path) -> None:
    node = kernel.make(b"a")
    for _ in range(5):
        kernel.write(node, 0, b"x")
    kernel.script.records.clear()
    kernel.capture.settle()
    assert [(record.kind, record.node) for record in kernel.script.records] == [(Kind.TIMES, ROOT), (Kind.TIMES, node)]
    kernel.script.records.clear()
    kernel.capture.settle()
    assert kernel.script.records == []


def test_times_are_shown_only_once_they_are_told(kernel: Kernel) -> None:
    node = kernel.make(b"a")
    kernel.write(node, 0, b"x")
    assert kernel.script.kinds() == [Kind.WRITE]
    kernel.ask(Op.FSYNC, node, abi.FSYNC_IN.pack(0, 0, 0))
    assert kernel.script.kinds() == []  # nobody has seen them yet
    found = kernel.ask(Op.LOOKUP, ROOT, b"a\0")
    assert isinstance(found, bytes)
    assert struct.unpack_from("<QQ", found, 16) == (abi.FOREVER_S, 0)  # the name is known for good, its times are not
    assert kernel.script.kinds() == []
    for asked in ([Kind.TIMES], []):
        kernel.ask(Op.GETATTR, node, bytes(16))
        assert kernel.script.kinds() == asked
    found = kernel.ask(Op.LOOKUP, ROOT, b"a\0")
    assert isinstance(found, bytes)
    assert struct.unpack_from("<QQ", found, 16) == (abi.FOREVER_S, abi.FOREVER_S)
    changed = kernel.truncate(node, 5)
    assert isinstance(changed, bytes)
    assert struct.unpack_from("<Q", changed) == (0,)


def test_a_folders_times_are_told_when_it_is_synced(kernel: Kernel) -> None:
    kernel.make(b"a")
    kernel.ask(Op.GETATTR, ROOT, bytes(16))  # as the kernel does before the next name
    assert kernel.script.kinds() == []
    kernel.ask(Op.FSYNCDIR, ROOT, abi.FSYNC_IN.pack(0, 0, 0))
    assert kernel.script.kinds() == [Kind.TIMES]


def test_settling_is_never_long(kernel: Kernel) -> None:
    for number in range(700):
        kernel.write(kernel.make(b"%d" % number), 0, b"x")
    kernel.script.records.clear()
    kernel.capture.settle()
    assert len(kernel.script.records) == 512


def test_a_file_that_is_forgotten_has_its_times_settled_before(kernel: Kernel) -> None:
    node = kernel.make(b"a")
    kernel.write(node, 0, b"x")
    kernel.tree.bound.update((ROOT, node))
    with pytest.raises(BlockingIOError):
        kernel.ask(Op.FORGET, node, abi.NODE_IN.pack(1))
    assert kernel.script.kinds() == [Kind.TIMES]
    assert kernel.script.calls[-1] == ("forgotten", node)
