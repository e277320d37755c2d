"""What a resync has yet to do in one tree, and which live changes may be sent meanwhile.

Folders are visited from the root downwards. A visit puts the whole listing of a folder into the stream, by which the
peer makes its names and attributes right; from that moment on what happens to these names is sent, since the peer can
carry it out. Before it, it is not sent: the visit will find it. So a folder is

    unvisited   its names may differ; changes of them are left to the visit
    listed      the listing is on its way; changes of its names are sent, but which of the things in it the peer did
                not have and had to make anew is not known yet, so changes inside of new folders are not; a folder that
                is moved out of it is visited, since nobody would know any more that it may be a new one
    settled     equal, and kept equal by the stream

and a folder without candidates that nobody visits is settled as soon as all above it are. When a change cannot be sent,
what it concerns becomes unvisited (again): that is the whole rule by which a live tree is followed, and it is what
makes the end of the plan, nothing left to do, mean that both sides are equal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_TRIES = 64
"""How many things are looked at in one search for one that can be reached."""

BlockedBy = Callable[[int], int | None]
"""What has to be dealt with before this folder or file: a folder on the way to it, that the peer may not have yet, or
the file itself, which is under way already. None: nothing."""


@dataclass(slots=True)
class Plan:
    """One tree's part of a resync; `everything`: no folder is settled that was not visited."""

    root: int
    everything: bool
    walking: bool = True
    """Candidates are still being looked for: nothing is settled."""
    _waiting: deque[int] = field(default_factory=deque)
    """Folders to visit, and some that are unvisited no more."""
    _unvisited: set[int] = field(default_factory=set)
    _listed: dict[int, int] = field(default_factory=dict)
    """Folder -> how many parts of its listings are not answered."""
    _visited: set[int] = field(default_factory=set)
    _waiting_files: deque[int] = field(default_factory=deque)
    _files: dict[int, set[int] | None] = field(default_factory=dict)
    _behind: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)
    """Folder or file -> folders and files that were found to be blocked by it."""
    _others: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.everything:
            self.visit(self.root)

    # -- what there is to do -------------------------------------------------------------------------------------------

    def visit(self, folder: int) -> None:
        """The folder's names are to be visited, in turn."""
        self._visited.discard(folder)
        if folder not in self._unvisited:
            self._unvisited.add(folder)
            self._waiting.append(folder)

    def compare(self, node: int, chunks: Iterable[int] | None = None) -> None:
        """A file is to be compared: its attributes, its holes, and these 4 MiB pieces of it; None: all of them."""
        if node not in self._files:
            self._files[node] = set()
            self._waiting_files.append(node)
        waiting = self._files[node]
        if chunks is None:
            self._files[node] = None
        elif waiting is not None:
            waiting.update(chunks)

    def next_folder(self, blocked_by: BlockedBy) -> int | None:
        """A folder to visit now. It stays unvisited until `listed`. None: there is none, or none was found yet."""
        for _ in range(min(_TRIES, len(self._waiting))):
            folder = self._waiting.popleft()
            if folder in self._unvisited:
                if (by := blocked_by(folder)) is None:
                    return folder
                self._behind.setdefault(by, ([], []))[0].append(folder)
        return None

    def postpone(self, folder: int) -> None:
        """The folder could not be visited now."""
        self._waiting.append(folder)

    def next_file(self, blocked_by: BlockedBy) -> tuple[int, set[int] | None] | None:
        """A file to compare now, and what of it; it is the caller's from here on. None: as of `next_folder`."""
        for _ in range(min(_TRIES, len(self._waiting_files))):
            node = self._waiting_files.popleft()
            if node in self._files:
                if (by := blocked_by(node)) is None:
                    return node, self._files.pop(node)
                self._behind.setdefault(by, ([], []))[1].append(node)
        return None

    def free(self, node: int) -> None:
        """This blocks nothing any more: what waits for it is tried again."""
        folders, files = self._behind.pop(node, ((), ()))
        self._waiting.extend(folders)
        self._waiting_files.extend(files)

    def has_untried(self) -> bool:
        """Whether there is something that nobody has tried since it came up or was freed. If nothing is on its way
        either, everything is going to be tried again."""
        if self._waiting or self._waiting_files:
            return True
        if not self._listed:
            for node in list(self._behind):
                self.free(node)
        return False

    def asked(self, folder: int) -> None:
        """A part of the folder's listing is in the stream."""
        self._listed[folder] = self._listed.get(folder, 0) + 1

    def listed(self, folder: int) -> None:
        """The whole listing is in the stream."""
        self._unvisited.discard(folder)

    def answered(
        self, folder: int, new_folders: Iterable[int], new_files: Iterable[int], changed_folders: Iterable[int] = ()
    ) -> None:
        """The peer has made the names of one part right; some things it did not have, and made them empty or took what
        had the name for them; some folders look as if they had changed."""
        if not self.everything:  # else they are in the plan in any case
            for node in new_folders:
                self._others.add(node)
                self.visit(node)
            for node in changed_folders:
                self.visit(node)
            for node in new_files:
                self.compare(node)
        left = self._listed.pop(folder) - 1
        if left:
            self._listed[folder] = left
        elif folder not in self._unvisited:
            if self.everything:
                self._visited.add(folder)
            self.free(folder)

    def made(self, folder: int) -> None:
        """A new folder whose making was sent: both sides' are empty."""
        self._unvisited.discard(folder)
        self._others.discard(folder)
        if self.everything:
            self._visited.add(folder)
        self.free(folder)

    def gone(self, folder: int) -> None:
        """The folder does not exist any more; a file may have its number by now."""
        self._unvisited.discard(folder)
        self._visited.discard(folder)
        self._others.discard(folder)
        self.free(folder)

    def is_other(self, folder: int) -> bool:
        """Whether what the peer has in the folder's place may be another one, with all that is in it."""
        return folder in self._others

    def has_file(self, node: int) -> bool:
        """Whether the file is to be compared (again)."""
        return node in self._files

    @property
    def ended(self) -> bool:
        """Everything is visited, and every file taken by `next_file`."""
        return not (self.walking or self._unvisited or self._listed or self._files)

    # -- what may be sent ----------------------------------------------------------------------------------------------

    def names_are_sent(self, folder: int, above: Iterable[int], *, bound: bool) -> bool:
        """Whether the peer can carry out a change of names in the folder. `above`: its parent, the parent's parent,
        to the root; `bound`: the peer knows the folder already, so it does not matter by which way it is found."""
        if self.walking or not self._may_be_settled(folder):
            return False
        return bound or self.is_settled(above)

    def is_settled(self, folders: Iterable[int]) -> bool:
        """Whether the peer finds what is behind all of these folders, an object's parents up to the root."""
        return not self.walking and self.first_unsettled(folders) is None

    def first_unsettled(self, folders: Iterable[int]) -> int | None:
        """The folder because of which it does not, once the walk is over."""
        for folder in folders:
            if folder in self._listed or not self._may_be_settled(folder):
                return folder
        return None

    def _may_be_settled(self, folder: int) -> bool:
        return folder not in self._unvisited and (
            not self.everything or folder in self._visited or folder in self._listed
        )
