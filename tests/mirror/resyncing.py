"""A primary's and a secondary's tree on one file system, with two journals and a stream of records between them.

No loop and no mounts: changes are made as the capture makes them, records are carried out when a test says so, which
is what lets a test stop at any moment. What threads do is real, and so are the trees and the journals.
"""

from __future__ import annotations

import os
import queue
import random
import shutil
import stat
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mirrord import compare
from mirrord.core import zones
from mirrord.volume.files import objects, syscalls
from mirrord.volume.files.apply import apply
from mirrord.volume.files.followed_tree import FollowedTree
from mirrord.volume.files.served_tree import ServedTree
from mirrord.volume.files.tree import FILE, ROOT
from mirrord.volume.journal import moves
from mirrord.volume.journal.checkpoint import Checkpoints
from mirrord.volume.journal.journal import Journal
from mirrord.volume.link.records import LENGTH, OWNED, STAMPED, Kind, Made, Record
from mirrord.volume.resync.follow import ResyncFollower
from mirrord.volume.resync.resync import Resync

NS = 1_000_000_000
PATIENCE_S = 30


class Node:
    """A directory and its journal; both outlive links."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree_path = folder / "tree"
        self.state = folder / "state"
        self.tree_path.mkdir(parents=True)
        self.state.mkdir()
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.journal = self.open_journal()

    def open_journal(self) -> Journal:
        return Journal(self.state / "journal", 1, self.posted.put)

    def restart(self) -> None:
        """The process is another one."""
        self.journal.close()
        self.posted = queue.SimpleQueue()
        self.journal = self.open_journal()

    def open_root(self) -> int:
        return os.open(self.tree_path, os.O_RDONLY | os.O_DIRECTORY)

    def run_posted(self, patience_s: float = 0.0) -> bool:
        """What threads want done; waits for the first one if told so."""
        try:
            self.posted.get(timeout=patience_s or None, block=patience_s > 0)()
        except queue.Empty:
            return False
        return True


class Primary:
    """Serves a node: changes, as the capture makes them."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.tree = ServedTree(0, node.open_root())
        self.link: Link | None = None

    def close(self) -> None:
        self.tree.close()

    # -- changes -------------------------------------------------------------------------------------------------------

    def write(self, path: str, content: bytes, offset: int = 0) -> None:
        node = self.find(path)
        if self.tree.nodes[node].kind != FILE:
            raise IsADirectoryError(path)
        self.admit(node, offset, len(content))
        self.send(Record(Kind.WRITE, 0, node, offset, 0, content))
        self.tree.write(node, memoryview(content), offset)
        self.tree.unsettled[node] = None

    def truncate(self, path: str, size: int) -> None:
        node = self.find(path)
        old = self.tree.attributes(node).size
        self.admit(node, min(size, old), abs(old - size))
        self.admit(node)
        os.ftruncate(self.tree.descriptor(node), size)
        self.changed(Record(Kind.TRUNCATE, 0, node, size), node)

    def punch(self, path: str, offset: int, length: int) -> None:
        node = self.find(path)
        self.admit(node, offset, length)
        syscalls.fallocate(self.tree.descriptor(node), 3, offset, length)
        self.changed(Record(Kind.ALLOCATE, 0, node, offset, 3, LENGTH.pack(length)), node)

    def make(self, path: str, mode: int, target: bytes = b"", rdev: int = 0) -> None:
        folder, name = self.place(path)
        self.admit(folder)
        made = Made(name, mode, 0, 0, rdev, target)
        objects.create(self.tree.descriptor(folder), made)
        node, found = self.tree.lookup(folder, name)
        self.tree.bound.add(node.id)
        xattrs = objects.xattrs_at(b"%b/%b" % (self.tree.path(folder), name))
        made = Made(name, found.mode, found.uid, found.gid, rdev, target, xattrs)
        self.changed(Record(Kind.MAKE, 0, folder, node.id, 0, made.pack()), folder, node.id)

    def create(self, path: str, content: bytes = b"", mode: int = 0o644) -> None:
        self.make(path, stat.S_IFREG | mode)
        if content:
            self.write(path, content)

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        self.make(path, stat.S_IFDIR | mode)

    def remove(self, path: str) -> None:
        folder, name = self.place(path)
        self.admit(folder)
        self.tree.lookup(folder, name)
        victim, last = self.tree.victim(folder, name)
        is_folder = stat.S_ISDIR(syscalls.statx(self.tree.descriptor(folder), name).mode)
        (os.rmdir if is_folder else os.unlink)(name, dir_fd=self.tree.descriptor(folder))
        if victim is not None:
            self.tree.lost(victim, folder, name, last=last)
        self.changed(Record(Kind.RMDIR if is_folder else Kind.UNLINK, 0, folder, 0, 0, name), folder)

    def rename(self, old_path: str, new_path: str, flags: int = 0) -> None:
        old_folder, old = self.place(old_path)
        folder, new = self.place(new_path)
        self.tree.lookup(old_folder, old)
        moving, found = self.tree.named(old_folder, old)
        for node in (old_folder, folder):
            self.admit(node)
        self._admit_move(found)
        if flags & 2:
            self._admit_move(self.tree.named(folder, new)[1])
        try:
            self.tree.lookup(folder, new)
            victim, last = self.tree.victim(folder, new)
        except FileNotFoundError:
            victim, last = None, False
        if victim is not None and victim is moving:
            return  # two names of one object: the kernel does nothing and asks nobody
        syscalls.rename(self.tree.descriptor(old_folder), old, self.tree.descriptor(folder), new, flags)
        if flags & 2:
            self.tree.moved(victim, folder, new, old_folder, old)
        elif victim is not None:
            self.tree.lost(victim, folder, new, last=last)
        self.tree.moved(moving, old_folder, old, folder, new)
        record = Record(Kind.RENAME, 0, old_folder, folder, flags, old + b"\0" + new)
        moves.note(self.node.journal, self.tree, record)
        self.changed(record, old_folder, folder)

    def _admit_move(self, found: syscalls.Attributes) -> None:
        self.admit(found.ino)
        if stat.S_ISDIR(found.mode):
            self.admit(found.ino, zones.MOVED_AT)

    def link_to(self, path: str, new_path: str) -> None:
        node = self.find(path)
        folder, name = self.place(new_path)
        self.admit(folder)
        self.admit(node)
        syscalls.link(self.tree.descriptor(node), self.tree.descriptor(folder), name)
        self.tree.lookup(folder, name)
        self.changed(Record(Kind.LINK, 0, node, folder, 0, name), folder)

    def chmod(self, path: str, mode: int) -> None:
        node = self.find(path)
        self.admit(node)
        os.chmod(self.tree.path(node), mode)
        found = self.tree.attributes(node)
        self.changed(Record(Kind.OWNER_AND_MODE, 0, node, 0, 0, OWNED.pack(found.uid, found.gid, mode)))

    def setxattr(self, path: str, name: bytes, value: bytes) -> None:
        node = self.find(path)
        self.admit(node)
        os.setxattr(self.tree.path(node), name, value)
        self.changed(Record(Kind.SETXATTR, 0, node, 0, 0, name + b"\0" + value))

    # -- how -----------------------------------------------------------------------------------------------------------

    def find(self, path: str) -> int:
        node = ROOT
        for name in filter(None, os.fsencode(path).split(b"/")):
            node = self.tree.lookup(node, name)[0].id
        return node

    def place(self, path: str) -> tuple[int, bytes]:
        above, _, name = path.rpartition("/")
        return self.find(above), os.fsencode(name)

    def admit(self, node: int, offset: int = 0, length: int = 0) -> None:
        wanted = list(zones.of_range(self.tree.inode(node), offset, length))
        if not self.node.journal.covers(0, wanted):
            self.node.journal.mark(0, wanted)
            while not self.node.journal.covers(0, wanted):
                assert self.node.run_posted(PATIENCE_S), "a mark did not reach the disk"

    def changed(self, record: Record, *unsettled: int) -> None:
        for node in unsettled:
            self.tree.unsettled[node] = None
        self.send(record)
        self._tell_gone()

    def _tell_gone(self) -> None:
        for node in self.tree.gone:
            if self.link is not None and node not in self.tree.bound:
                self.link.put(Record(Kind.FORGET, 0, node))
        self.tree.gone.clear()

    def send(self, record: Record) -> None:
        link = self.link
        if link is not None and (link.resync is None or link.resync.sends(record)) and link.bind(record.mentions):
            link.put(record)

    def settle_times(self) -> None:
        unsettled, self.tree.unsettled = list(self.tree.unsettled), {}
        if self.link is None:
            return
        for node in unsettled:
            if node in self.tree.nodes and not self.tree.is_orphan(node):
                found = self.tree.attributes(node)
                times = found.atime_s * NS + found.atime_ns, found.mtime_s * NS + found.mtime_ns
                self.send(Record(Kind.TIMES, 0, node, 0, 0, STAMPED.pack(*times)))

    def forget_all(self) -> None:
        """The kernel drops all that it knows."""
        self.settle_times()
        for node in [node for node in self.tree.nodes.values() if node.id != ROOT]:
            while node.id in self.tree.nodes and self.tree.nodes[node.id] is node:
                self.tree.forget(node.id, 1)
        self._tell_gone()


class Link:
    """Records on their way from a primary to a secondary, and answers on their way back."""

    def __init__(self, primary: Primary, secondary: Node, *, everything: bool = False, keep: bool = False) -> None:
        self.primary = primary
        self.secondary = secondary
        self.tree = FollowedTree(0, secondary.open_root())
        self.outward: deque[Record] = deque()
        self.homeward: deque[Record] = deque()
        self.sent_bytes = 0
        self.failures: list[str] = []
        self.in_sync = False
        self.threads = ThreadPoolExecutor(2)
        primary.tree.bound.clear()
        primary.tree.bound.add(ROOT)
        primary.link = self
        journal = primary.node.journal
        self.checkpoints = Checkpoints(
            [primary.tree], journal, self.threads, self.put, primary.node.posted.put, self.failures.append
        )
        self.resync: Resync | None = Resync(
            [primary.tree], journal, self.checkpoints, self, everything=everything, keep=keep, rate_bytes_s=0,
            settle_times=primary.settle_times, later=lambda delay, call: None, done=self._done,
        )  # fmt: skip
        self.follower = ResyncFollower(
            [self.tree], secondary.journal, secondary.state, self.threads, self.homeward.append, secondary.posted.put,
            self.failures.append,
        )  # fmt: skip
        self.handlers = self.follower.handlers()
        self.preparations = self.follower.preparations()
        self.answers = {**self.resync.handlers(), Kind.CHECKPOINT: self.checkpoints.take, Kind.KEPT: self._kept}
        self.kept = 0

    def close(self) -> None:
        """The link breaks; what is on its way is lost."""
        self.primary.link = None
        if self.resync is not None:
            self.resync.close()
        self.threads.shutdown()
        self.follower.close()
        self.tree.close()

    # -- what the resync needs of the replicator -----------------------------------------------------------------------

    def put(self, record: Record) -> None:
        self.sent_bytes += 32 + len(record.payload)
        self.outward.append(record._replace(payload=bytes(record.payload)))

    def catch_up(self) -> None:
        pass

    def flush(self) -> None:
        pass

    # -- time passes ---------------------------------------------------------------------------------------------------

    def bind(self, nodes: tuple[int, ...]) -> bool:
        tree = self.primary.tree
        for node in nodes:
            if node not in tree.bound:
                for record in tree.bindings(node):
                    self.put(record)
        return all(node in tree.bound for node in nodes)

    def carry_out(self) -> bool:
        """One record arrives at the secondary."""
        if not self.outward:
            return False
        record = self.outward.popleft()
        handler = self.handlers.get(record.kind)
        if record.kind == Kind.IN_SYNC:
            self.in_sync = True
            self.preparations.clear()
            self.tree.drop_listed()
        elif handler is not None:
            handler(record)
        else:
            if record.kind in self.preparations:
                self.preparations[record.kind](record)
            apply([self.tree], record)
        self.tree.trim()
        return True

    def answer(self) -> bool:
        """One answer arrives at the primary."""
        if not self.homeward:
            return False
        record = self.homeward.popleft()
        self.answers[record.kind](record)
        return True

    def step(self, chance: random.Random, budget_ns: int = 50_000) -> None:
        """Something happens, somewhere."""
        match chance.randrange(5):
            case 0 | 1:
                self.carry_out()
            case 2:
                self.answer()
            case 3 if self.resync is not None:
                self.resync.work(budget_ns)
            case _:
                _ = self.primary.node.run_posted() or self.secondary.run_posted()
        self.primary.tree.trim()
        assert not self.failures

    def run(self) -> None:
        """Until in sync and everything has arrived."""
        while not self.in_sync or self.outward:
            busy = self.resync is not None and self.resync.work(1_000_000)
            while self.carry_out() or self.answer():
                busy = True
            while self.primary.node.run_posted() or self.secondary.run_posted():
                busy = True
            assert not self.failures
            self.primary.tree.trim()
            if not busy and not self.in_sync:
                self.primary.node.run_posted(0.002)

    def _done(self) -> None:
        self.resync = None
        self.put(Record(Kind.IN_SYNC, 0, 0))

    def _kept(self, record: Record) -> None:
        self.kept = record.offset


def resync(primary: Primary, secondary: Node, *, everything: bool = False, keep: bool = False) -> Link:
    """A whole one; the link is closed when this returns."""
    link = Link(primary, secondary, everything=everything, keep=keep)
    try:
        link.run()
        primary.settle_times()
        while link.carry_out():
            pass
    finally:
        link.close()
    return link


def differences(primary: Primary | Node, secondary: Node) -> list[str]:
    first = primary.node if isinstance(primary, Primary) else primary
    return compare.differences(compare.listing(first.tree_path), compare.listing(secondary.tree_path))


def copy_tree(source: Path, target: Path) -> None:
    """A rough copy, with another inode for everything."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
