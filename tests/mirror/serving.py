"""A volume without a network: a child process serves a directory, and carries every change out on a second one too.

It is a process of its own because one that serves a mount must never touch it. It tells what went wrong on stderr.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mirrord.volume.files.apply import apply
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.syscalls import keep_capabilities
from mirrord.volume.files.tree import Tree
from mirrord.volume.fuse.abi import REQUEST_BYTES_MAX
from mirrord.volume.fuse.capture import Capture
from mirrord.volume.link.records import HEADER, Kind, Record, read
from mirrord.volume.mounting import fuse_mount

ROOT = Path(__file__).resolve().parents[2]


class AtOnce:
    """A replicator whose peer is in the same process: nothing ever waits."""

    def __init__(self, peer: Tree | None) -> None:
        self.peer = peer
        self.seq = 0

    def admits(self, capture: Capture, node: int, offset: int = 0, length: int = 0) -> bool:
        return True

    def park(self, capture: Capture, message: memoryview) -> None:
        raise AssertionError("nothing waits here")

    def go_on(self, capture: Capture, message: memoryview) -> None:
        capture.handle(memoryview(bytes(message)))

    def catch_up(self) -> None:
        pass

    def write(self, capture: Capture, node: int, offset: int, content: memoryview, unique: int) -> None:
        if self.peer is not None and not capture.tree.is_orphan(node):
            self._send(capture, Record(Kind.WRITE, capture.tree.number, node, offset, 0, content))
        try:
            capture.tree.write(node, content, offset)
        except OSError as error:
            capture.fail(unique, error.errno or 5)
        else:
            capture.written(unique, len(content))

    def change(self, capture: Capture, record: Record, unique: int = 0, reply: bytes = b"") -> None:
        if self.peer is not None and not any(capture.tree.is_orphan(node) for node in record.mentions):
            self._send(capture, record)
        if unique:
            capture.answer(unique, reply)

    def stream(self, capture: Capture, records: Iterator[Record], unique: int, reply: bytes) -> None:
        for record in records:
            self.change(capture, record)
        capture.answer(unique, reply)

    def fsync(self, capture: Capture, node: int, unique: int, *, data_only: bool) -> None:
        os.fsync(capture.tree.descriptor(node))
        capture.answer(unique, b"")

    def forgotten(self, capture: Capture, node: int) -> None:
        if self.peer is not None:
            self._send(capture, Record(Kind.FORGET, capture.tree.number, node))

    def _send(self, capture: Capture, record: Record) -> None:
        assert self.peer is not None
        for node in record.mentions:
            for binding in capture.tree.bindings(node):
                self._carry_out(binding)
        self._carry_out(record)

    def _carry_out(self, record: Record) -> None:
        """As it comes out of the stream."""
        self.seq += 1
        message = memoryview(record.header(self.seq) + bytes(record.payload))
        assert len(message) == HEADER.size + len(record.payload)
        found = read(message, 0, len(message))
        assert found is not None
        assert self.peer is not None
        try:
            apply([self.peer], found[0])
        except Exception as error:
            print(f"the peer could not: {error!r}: {found[0]._replace(payload=bytes(record.payload)[:80])}",
                  file=sys.stderr, flush=True)  # fmt: skip
            raise


def serve(directory: str, peer: str) -> None:
    """Until the mount is gone or stdin ends; each line there is answered with the number of known nodes."""
    os.umask(0)
    keep_capabilities()
    tree = ServedTree(0, fuse_mount.open_root(directory))
    replicator = AtOnce(Tree(0, fuse_mount.open_root(peer)) if peer else None)
    device = fuse_mount.serve(directory, "test")
    capture = Capture(tree, replicator, device)
    print("serving", flush=True)
    poll = select.poll()
    poll.register(device, select.POLLIN)
    poll.register(sys.stdin, select.POLLIN)
    buffer = bytearray(REQUEST_BYTES_MAX)
    view = memoryview(buffer)
    settled = time.monotonic()
    while True:
        ready = dict(poll.poll(200))
        if time.monotonic() > settled + 0.2:
            settled = time.monotonic()
            capture.settle()
        if sys.stdin.fileno() in ready:
            if not sys.stdin.readline():
                break
            print(len(tree.nodes), flush=True)
            continue
        try:
            size = os.readv(device, [buffer])
        except BlockingIOError:
            continue
        except OSError:
            break
        capture.handle(view[:size])
    capture.settle()
    fuse_mount.withdraw(directory)


def nodes_known(child: subprocess.Popen[str]) -> int:
    """How many nodes the process that serves knows."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("?\n")
    child.stdin.flush()
    return int(child.stdout.readline())


@contextlib.contextmanager
def served(directory: Path, peer: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Serve a directory over itself."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.mirror.serving", str(directory), str(peer or "")],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "serving\n"
        yield child
    finally:
        assert child.stdin is not None
        child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        fuse_mount.withdraw(str(directory))


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
