"""A resync's plan over trees that change meanwhile: what is sent can be carried out, and in the end both are equal."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from mirrord.core.plan import Plan

ROOT = 1
STEPS_MAX = 400


@dataclass
class Folder:
    """names: of what is in it but folders. Its names and its folders are all that is compared here."""

    parent: int
    names: frozenset[int] = frozenset()
    folders: frozenset[int] = frozenset()


@dataclass
class World:
    """Both sides of one tree, the records on their way, and the plan between them."""

    ours: dict[int, Folder]
    theirs: dict[int, Folder]
    plan: Plan
    outward: deque[tuple[str, int, Folder | int | frozenset[int]]] = field(default_factory=deque)
    homeward: deque[tuple[int, frozenset[int], list[int]]] = field(default_factory=deque)
    made: int = 1000

    def above(self, folder: int) -> list[int]:
        found = []
        while folder != ROOT:
            folder = self.ours[folder].parent
            found.append(folder)
        return found

    # -- the primary ---------------------------------------------------------------------------------------------------

    def visit(self) -> None:
        folder = self.plan.next_folder(
            lambda node: self.plan.first_unsettled(self.above(node)) if node in self.ours else None
        )
        if folder is None:
            return
        if folder not in self.ours:
            self.plan.gone(folder)
            return
        here = self.ours[folder]
        self.outward.append(("listing", folder, Folder(here.parent, here.names, here.folders)))
        self.plan.asked(folder)
        self.plan.listed(folder)

    def take_answer(self) -> None:
        folder, listed, new = self.homeward.popleft()
        if self.plan.everything:
            for inner in listed:
                self.plan.visit(inner)
        self.plan.answered(folder, [node for node in new if node in self.ours], ())

    def change(self, folder: int, name: int) -> None:
        """A name comes or goes."""
        here = self.ours[folder]
        here.names ^= {name}
        if self._sent(folder):
            self.outward.append(("names", folder, here.names))

    def make(self, folder: int) -> None:
        self.made += 1
        self.ours[self.made] = Folder(folder)
        self.ours[folder].folders |= {self.made}
        if self._sent(folder):
            self.outward.append(("make", folder, self.made))
            self.plan.made(self.made)

    def remove(self, folder: int) -> None:
        here = self.ours[folder]
        if folder == ROOT or here.folders or here.names:
            return
        self.ours[here.parent].folders -= {folder}
        if self._sent(here.parent):
            self.outward.append(("remove", here.parent, folder))
        del self.ours[folder]
        self.plan.gone(folder)

    def _sent(self, folder: int) -> bool:
        if self.plan.names_are_sent(folder, self.above(folder), bound=False):
            return True
        self.plan.visit(folder)
        return False

    # -- the secondary -------------------------------------------------------------------------------------------------

    def carry_out(self) -> None:
        what, folder, content = self.outward.popleft()
        assert folder in self.theirs, f"{what} of {folder}, which the peer does not have"
        there = self.theirs[folder]
        match what, content:
            case "listing", Folder(_, names, folders):
                for gone in there.folders - folders:
                    self._drop(gone)
                new = [node for node in folders if node not in self.theirs]
                for node in new:
                    self.theirs[node] = Folder(folder)
                there.names, there.folders = names, folders
                self.homeward.append((folder, folders, new))
            case "names", frozenset():
                assert len(there.names ^ content) == 1, "a change of something that was not equal"
                there.names = content
            case "make", int():
                assert content not in there.folders
                there.folders |= {content}
                self.theirs[content] = Folder(folder)
            case "remove", int():
                assert content in there.folders
                there.folders -= {content}
                self._drop(content)

    def _drop(self, folder: int) -> None:
        for inner in self.theirs.pop(folder).folders:
            self._drop(inner)


folders = st.integers(2, 12)
kinds = st.sampled_from(["change", "make", "remove"])


@st.composite
def trees(draw: st.DrawFn) -> dict[int, Folder]:
    """A few folders, each in one with a smaller number, so that two trees have many in common and none moves."""
    made = {ROOT: Folder(0)}
    for number in sorted(draw(st.sets(folders))):
        parent = number // 2
        if parent in made:
            made[number] = Folder(parent)
            made[parent].folders |= {number}
    for folder in made.values():
        folder.names = frozenset(draw(st.sets(st.integers(0, 3))))
    return made


def differing(ours: dict[int, Folder], theirs: dict[int, Folder]) -> list[int]:
    """As the journals know it: folders of ours whose names are not those of the peer's, where it has one."""
    return [
        folder for folder, here in ours.items()
        if folder in theirs and (here.names, here.folders) != (theirs[folder].names, theirs[folder].folders)
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(trees(), trees(), st.booleans(), st.data())
def test_both_are_equal_when_nothing_is_left_to_do(
    ours: dict[int, Folder], theirs: dict[int, Folder], everything: bool, data: st.DataObject
) -> None:
    world = World(ours, theirs, Plan(ROOT, everything))
    for folder in data.draw(st.permutations(differing(ours, theirs))):
        world.plan.visit(folder)
    world.plan.walking = False
    changes = data.draw(st.lists(st.tuples(kinds, st.integers(0), st.integers(0, 3)), max_size=15))
    for _ in range(STEPS_MAX):
        if world.plan.ended and not (world.outward or world.homeward or changes):
            break
        step = data.draw(st.sampled_from("vvccaal")) if changes else "vcal"[_ % 4]
        if step == "v":
            world.visit()
        elif step == "c" and world.outward:
            world.carry_out()
        elif step == "a" and world.homeward:
            world.take_answer()
        elif step == "l" and changes:
            what, place, name = changes.pop()
            folder = sorted(world.ours)[place % len(world.ours)]
            match what:
                case "change":
                    world.change(folder, name)
                case "make":
                    world.make(folder)
                case "remove":
                    world.remove(folder)
    assert world.plan.ended, "the plan does not end"
    assert world.ours == world.theirs
