"""Making a folder of the secondary like a listing of the primary's.

For every entry there is one question: which object of ours is to have this name? The one that is called by the entry's
id already, wherever it is; or the one that a hint says was moved here; or the one that has the name, if it is of the
same kind and nobody else's; or none, and a new one is made, whose content the primary is then asked to compare. What
has to give way goes into the staging folder if it may be wanted elsewhere.

Content is not looked at here. Times of folders come at the very end, in `ATTRIBUTES` records, since every repair
inside changes them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from mirrord.core.zones import Index
from mirrord.volume.files import syscalls
from mirrord.volume.files.followed_tree import FollowedTree
from mirrord.volume.files.tree import ROOT
from mirrord.volume.resync.diverged import Keeper
from mirrord.volume.resync.listing import Entry, describe, read_entry
from mirrord.volume.resync.records import Outcome
from mirrord.volume.resync.rest import Rest
from mirrord.volume.resync.shaping import make, make_name_right, make_path_right
from mirrord.volume.resync.staging import NAME, Staging, remove

_PATH_ONLY = os.O_PATH | os.O_NOFOLLOW


@dataclass(slots=True)
class Hints:
    """Objects of ours that the primary has moved: id -> handle, as long as nobody took it."""

    handles: dict[int, bytes] = field(default_factory=dict)
    _reverse: dict[bytes, int] = field(default_factory=dict)

    def add(self, root_fd: int, node: int, path: bytes) -> None:
        """The object that is at this path now, if there is one, and if it is not wanted for another id already."""
        try:
            handle = _handle_at(root_fd, path)
        except OSError:
            return
        if handle not in self._reverse:
            self.handles[node] = handle
            self._reverse[handle] = node

    def of(self, handle: bytes) -> int | None:
        """For which id the object is wanted."""
        return self._reverse.get(handle)

    def taken(self, node: int, handle: bytes) -> None:
        """This object is called so now: the id is wanted for no other, and the object for no other id."""
        for each in (node, self._reverse.get(handle)):
            hinted = self.handles.pop(each, None) if each is not None else None
            if hinted is not None:
                self._reverse.pop(hinted, None)


class _Found(Enum):
    """What the primary has to know of an entry."""

    SAME = auto()
    NEW_FOLDER = auto()
    NEW_FILE = auto()
    CHANGED_FOLDER = auto()


def _new(wanted: Entry) -> _Found:
    return _Found.NEW_FOLDER if wanted.is_folder else _Found.NEW_FILE


class Repair:
    """Listings of one tree. `keeper`: what differs is kept before it goes; None: it is not."""

    def __init__(
        self, tree: FollowedTree, staging: Staging, hints: Hints, keeper: Keeper | None, marked: Index
    ) -> None:
        """marked: inodes of ours that were changed here while the peer was not told."""
        self._tree = tree
        self._staging = staging
        self._hints = hints
        self._keeper = keeper
        self._marked = marked
        self._names: dict[int, set[bytes]] = {}
        """Folder whose listing has begun -> the names in it so far."""
        self._rests: dict[int, Rest] = {}
        """Folder whose listing has ended -> what is left in it that was not listed."""

    def close(self) -> None:
        for rest in self._rests.values():
            rest.close()

    def begin(self, folder: int) -> None:
        self._names[folder] = set()
        if folder in self._rests:
            self._rests.pop(folder).close()

    def entries(self, folder: int, entries: Iterable[Entry], *, whole: bool, other: bool) -> Outcome:
        """A part of the listing; whole: content is compared anyway; other: the folder may be another one, so nothing
        in it is what it seems to be. Raises OSError."""
        fd = self._tree.descriptor(folder)
        of: dict[_Found, dict[int, None]] = {which: {} for which in _Found}
        for entry in entries:
            self._names[folder].add(entry.name)
            of[self._put_right(fd, entry, whole=whole, other=other)][entry.node] = None
        return Outcome(*(tuple(of[which]) for which in (_Found.NEW_FOLDER, _Found.NEW_FILE, _Found.CHANGED_FOLDER)))

    def end(self, folder: int) -> None:
        """All that was in the listing is there; the rest goes with `clear`."""
        names = self._names.pop(folder)
        if folder == ROOT:
            names.add(NAME)
        self._rests[folder] = Rest(self._tree.open(folder), names)

    def clear(self, folder: int) -> bool:
        """Some of what was not listed goes; whether there may be more of it."""
        rest = self._rests.get(folder)
        if rest is None:
            return False
        fd = self._tree.descriptor(folder)
        for name in rest.some():
            with suppress(FileNotFoundError):
                self._put_aside(fd, name)
        if rest.ended:
            self._rests.pop(folder).close()
        return not rest.ended

    def is_clearing(self, folder: int) -> bool:
        return folder in self._rests

    def expect(self, folder: int, name: bytes) -> None:
        """A name is about to come into the folder, and what has it here, if it was not listed, has to go before."""
        rest = self._rests.get(folder)
        if rest is not None and name not in rest.listed:
            rest.listed.add(name)
            fd = self._tree.descriptor(folder)
            with suppress(FileNotFoundError):
                self._staging.take(fd, name, self._path(fd, name))

    def empty(self, folder: int, name: bytes) -> None:
        """The folder of this name, if it is one, is empty at the primary and about to go: so does ours, with all that
        is in it, and leaves an empty one."""
        fd = self._tree.descriptor(folder)
        try:
            inner = _open_path(fd, name)
        except (FileNotFoundError, NotADirectoryError):
            return
        is_empty = not any(os.scandir(inner))
        os.close(inner)
        if not is_empty:
            self._staging.take(fd, name, self._path(fd, name))
            os.mkdir(name, 0o700, dir_fd=fd)

    def stay(self, folder: int, name: bytes) -> None:
        """A thing is about to lose this name, and has others at the primary. Here it may have none yet."""
        fd = self._tree.descriptor(folder)
        have = _look(fd, name)
        if have is not None and have.links == 1 and syscalls.handle_of(fd, name) in self._tree.ids:
            self._staging.link(fd, name, self._path(fd, name))

    def attributes(self, node: int, wanted: Entry) -> None:
        """Size, owner, permissions, extended attributes and times of a known object."""
        path = self._tree.path(node)
        if wanted.is_file and os.stat(path).st_size != wanted.size:
            os.truncate(path, wanted.size)
        make_path_right(path, wanted, follow=True, times=True)

    def _put_right(self, fd: int, wanted: Entry, *, whole: bool, other: bool) -> _Found:
        """What there is to say of the thing that has the name now."""
        have = _look(fd, wanted.name)
        handle = syscalls.handle_of(fd, wanted.name) if have else b""
        chosen = self._choose(wanted, have, handle, whole=whole, other=other)
        if chosen is None:
            if have is not None:
                self._put_aside(fd, wanted.name)
            make(fd, wanted)
            if self._keeper:
                self._keeper.nodes.add(wanted.node)  # it has nothing yet
            chosen = syscalls.handle_of(fd, wanted.name)
            found = _new(wanted) if wanted.is_folder or wanted.size or wanted.is_linked else _Found.SAME
        else:
            if chosen != handle:
                if have is not None:
                    self._put_aside(fd, wanted.name)
                self._bring(chosen, fd, wanted)
            elif have and self._keeper and have.is_file and not have.alike(wanted):
                self._keeper.nodes.add(wanted.node)
                self._keeper.copy(fd, wanted.name, self._path(fd, wanted.name))
            found = self._judge(fd, wanted, have if chosen == handle else None, chosen, other=other)
        self._hints.taken(wanted.node, chosen)
        if self._tree.known(wanted.node, wanted.mode >> 12) != chosen:
            self._tree.adopt_listed(wanted.node, chosen, wanted.mode >> 12)
        make_name_right(fd, wanted, sized=whole or found is not _Found.NEW_FILE)
        return found

    def _judge(self, fd: int, wanted: Entry, have: Entry | None, chosen: bytes, *, other: bool) -> _Found:
        """Whether an object of ours that gets, or has (`have`), the name is the one that is meant.

        What was made or moved here since both were equal may have holes where the other one has data, and nobody
        marked those; and what is empty may have been made by a resync that was cut off. A folder that has moved, here
        or there, may have met its name by chance: only a hint, and the time of its last change, say that it has not.
        """
        if self._tree.known(wanted.node, wanted.mode >> 12) == chosen:
            return _Found.SAME  # it was called so before
        if wanted.is_folder:
            return self._judge_folder(read_entry(fd, wanted.name), wanted, chosen, met=have is not None, other=other)
        doubtful = other or (have is not None and (have.node in self._marked or have.size == 0 < wanted.size))
        if wanted.is_linked:
            sure = have is not None and not doubtful and self._is_same_link(have, wanted)
            return _Found.SAME if sure else _Found.NEW_FILE
        return _Found.NEW_FILE if doubtful and wanted.size else _Found.SAME

    def _judge_folder(self, ours: Entry, wanted: Entry, chosen: bytes, *, met: bool, other: bool) -> _Found:
        changed = ours.mtime_ns != wanted.mtime_ns
        hinted = self._hints.of(chosen) == wanted.node
        doubtful = other or ((wanted.moved or self._marked.has_moved(ours.node)) and met)
        if (changed if hinted else doubtful) or self._is_empty(chosen):
            return _Found.NEW_FOLDER
        return _Found.CHANGED_FOLDER if changed else _Found.SAME

    def _is_empty(self, folder: bytes) -> bool:
        fd = syscalls.open_by_handle(self._tree.root, folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.scandir(fd) as entries:
                return next(entries, None) is None
        finally:
            os.close(fd)

    def _choose(self, wanted: Entry, have: Entry | None, handle: bytes, *, whole: bool, other: bool) -> bytes | None:
        """The handle of the object of ours that is to have the name; None: there is none."""
        known = self._tree.known(wanted.node, wanted.mode >> 12)
        if known is not None and self._lives(known):
            return known
        hinted = self._hinted(wanted)
        if have is not None and have.is_linked:
            sure = have.links == wanted.links if whole else self._is_same_link(have, wanted) and not other
            have = have if sure else None  # else its other names would get what is meant for this one
        if have is None or not have.same_kind(wanted) or self._tree.ids.get(handle, wanted.node) != wanted.node:
            return hinted[0] if hinted else None
        wanted_elsewhere = self._hints.of(handle) not in (None, wanted.node)
        if hinted and not have.alike(wanted) and (wanted_elsewhere or hinted[1].alike(wanted)):
            return hinted[0]
        if wanted_elsewhere and not have.alike(wanted):
            return None
        return handle

    def _is_same_link(self, have: Entry, wanted: Entry) -> bool:
        """Whether two things that have met in one name must have met in the others, too."""
        return have.links == wanted.links and not wanted.moved and have.node not in self._marked

    def _hinted(self, wanted: Entry) -> tuple[bytes, Entry] | None:
        """What a hint says was moved here, if it still is and is of the same kind; files of one name and folders only:
        other names would be the wrong one's, if the hint is wrong."""
        handle = self._hints.handles.get(wanted.node)
        if handle is None or handle in self._tree.ids or not (wanted.is_file or wanted.is_folder):
            return None
        try:
            fd = syscalls.open_by_handle(self._tree.root, handle, _PATH_ONLY)
        except OSError:
            return None
        found = describe(fd, node=wanted.node)
        os.close(fd)
        return (handle, found) if found.links and not found.is_linked and found.same_kind(wanted) else None

    def _lives(self, handle: bytes) -> bool:
        try:
            fd = syscalls.open_by_handle(self._tree.root, handle, _PATH_ONLY)
        except OSError:
            return False
        links = os.fstat(fd).st_nlink
        os.close(fd)
        return links > 0

    def _put_aside(self, fd: int, name: bytes) -> None:
        """A thing leaves its place: for good, if nobody can want it."""
        handle = syscalls.handle_of(fd, name)
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        wanted = handle in self._tree.ids or self._hints.of(handle) is not None
        if wanted or stat.S_ISDIR(status.st_mode):
            self._staging.take(fd, name, self._path(fd, name))
        elif self._keeper:
            self._keeper.leave(fd, name, self._path(fd, name))
        else:
            with self._tree.freeing.holding(fd, name):
                remove(fd, name)

    def _bring(self, handle: bytes, folder_fd: int, wanted: Entry) -> None:
        """An object of ours gets the name. A folder leaves where it was. The kernel does not say where a file is that
        was found by handle: it gets the name as well, and the old one goes, if it has to, when its folder is listed."""
        fd = syscalls.open_by_handle(self._tree.root, handle, _PATH_ONLY)
        try:
            if not wanted.is_folder:
                syscalls.link(fd, folder_fd, wanted.name)
                return
            above, _, name = path_in(self._tree.root, fd).rpartition(b"/")
            above_fd = _open_path(self._tree.root, above)
            try:
                os.rename(name, wanted.name, src_dir_fd=above_fd, dst_dir_fd=folder_fd)
            finally:
                os.close(above_fd)
        finally:
            os.close(fd)

    def _path(self, fd: int, name: bytes) -> bytes:
        above = path_in(self._tree.root, fd)
        return above + b"/" + name if above else name


def path_in(root_fd: int, fd: int) -> bytes:
    """Where the kernel says the folder of a descriptor is, relative to the root; empty: it is the root."""
    root = os.readlink(b"/proc/self/fd/%d" % root_fd).rstrip(b"/")
    path = os.readlink(b"/proc/self/fd/%d" % fd)
    return path[len(root) :].strip(b"/")


def _look(fd: int, name: bytes) -> Entry | None:
    try:
        return read_entry(fd, name)
    except FileNotFoundError:
        return None


def _open_path(root_fd: int, path: bytes) -> int:
    """A folder, without following any symbolic link. Raises OSError."""
    fd = os.dup(root_fd)
    for name in filter(None, path.split(b"/")):
        try:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def _handle_at(root_fd: int, path: bytes) -> bytes:
    above, _, name = path.rpartition(b"/")
    fd = _open_path(root_fd, above)
    try:
        return syscalls.handle_of(fd, name)
    finally:
        os.close(fd)
