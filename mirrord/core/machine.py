"""What a node has besides its role: disk, volume, address and application; and what it asked of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from mirrord.core.events import (
    Action,
    AddressDown,
    AddressUp,
    Command,
    Forgo,
    Health,
    Lease,
    Note,
    ReplaceVolume,
    StartApplication,
    StopApplication,
    Store,
)
from mirrord.core.generations import Condition, State
from mirrord.core.volume import Volume
from mirrord.orders import Order, Withdraw


class Application(StrEnum):
    OFF = "off"
    ON = "on"
    """It was told to start; whether it is well its Health says."""
    STOPPING = "stopping"
    KILLED = "killed"


class Machine:
    """Actions are collected in `out`, in their order."""

    def __init__(self, state: State, now_ns: int) -> None:
        self.state = state
        """What is on disk."""
        self.writing: State | None = None
        """What is on its way to the disk."""
        self.refusal = ""
        """Why the disk does not take that; empty: it has not refused yet."""
        self.refused_ns = now_ns
        """Since when it does not."""
        self.refused_now = False
        """It was refused in this very step: nothing is on its way to the disk."""
        self.may_have_begun = False
        """A generation that was given up may be on the disk: this node would go on alone when it is back."""
        self._then: Callable[[int], None] | None = None
        self._dispensable = False
        self.volume = Volume(now_ns)
        self.replacing = False
        """The volume was found to hang, and has not ended yet."""
        self.address = False
        self.lease_until_ns = 0
        self.application = Application.OFF
        self.health = Health(ready=False)
        self.out: list[Action] = []

    @property
    def serves(self) -> bool:
        """Whether something here may still reach clients or files."""
        return self.address or self.volume.mounted or self.application is not Application.OFF

    # -- disk ----------------------------------------------------------------------------------------------------------

    def store(self, state: State, then: Callable[[int], None], *, dispensable: bool = False) -> None:
        """Writes the state; `then` is called once it is durable, and not before. Dispensable: or once the disk has
        refused it, for nothing that is promised depends on it."""
        assert self.writing is None
        self.writing, self._then, self._dispensable = state, then, dispensable
        self.out.append(Store(state))

    def stored(self, now_ns: int) -> None:
        assert self.writing is not None
        assert self._then is not None
        self.state, self.writing = self.writing, None
        self.may_have_begun = False
        if self.refusal:
            self.refusal = ""
            self.note("the disk takes this node's state again")
        self._then(now_ns)

    def store_refused(self, now_ns: int, reason: str, *, in_doubt: bool) -> None:
        assert self.writing is not None
        assert self._then is not None
        if not self.refusal:
            self.refused_ns = now_ns
        if reason != self.refusal:
            self.note(f"the disk does not take this node's state: {reason}")
        self.refusal, self.refused_now = reason, True
        self.may_have_begun |= in_doubt and self.begins
        if self._dispensable:
            self.forgo()
            self._then(now_ns)

    def forgo(self) -> None:
        """Gives up what was refused in this step: later it may be on its way again."""
        assert self.refused_now
        self.writing, self.refusal, self.refused_now = None, "", False
        self.out.append(Forgo())

    def store_instead(self, state: State) -> None:
        """Of what was refused in this step; the disk still refuses, as far as is known."""
        refusal = self.refusal
        self.forgo()
        self.store(state, lambda stored_ns: None)
        self.refusal = refusal

    @property
    def begins(self) -> bool:
        """Whether a generation is on its way to the disk."""
        alone = self.writing is not None and self.writing.condition is Condition.ALONE
        return alone and self.writing != self.state

    @property
    def yields(self) -> bool:
        """Whether nothing but a refusing disk keeps it from being outdated, and from serving before it is."""
        outdated = self.writing is not None and self.writing.condition is Condition.OUTDATED
        waits = self.state.condition in (Condition.INSYNC, Condition.OUTDATED) and not self.may_have_begun
        return outdated and waits and bool(self.refusal)

    # -- volume --------------------------------------------------------------------------------------------------------

    def order(self, order: Order) -> None:
        self.volume.ordered(order)
        self.out.append(Command(order))

    def replace_volume(self, reason: str) -> None:
        if not self.replacing:
            self.replacing = True
            self.out.append(ReplaceVolume(reason))

    def lose_volume(self, now_ns: int) -> None:
        """Its process has ended, and its mounts with it."""
        self.volume, self.replacing = Volume(now_ns), False

    # -- what clients reach --------------------------------------------------------------------------------------------

    def take_address(self) -> None:
        if not self.address:
            self.address = True
            self.out.append(AddressUp())

    def give_address(self) -> None:
        if self.address:
            self.address = False
            self.lease_until_ns = 0
            self.out += [Lease(0), AddressDown()]

    def renew(self, until_ns: int) -> None:
        self.lease_until_ns = until_ns
        self.out.append(Lease(until_ns))

    def start_application(self) -> None:
        assert self.application is Application.OFF
        self.application, self.health = Application.ON, Health(ready=False)
        self.out.append(StartApplication())

    def stop_application(self, *, force: bool) -> None:
        """As often as wanted; each way is told once."""
        wanted = Application.KILLED if force else Application.STOPPING
        if self.application is Application.ON or (force and self.application is Application.STOPPING):
            self.application = wanted
            self.out.append(StopApplication(force))

    def application_stopped(self) -> None:
        self.application, self.health = Application.OFF, Health(ready=False)

    # -- both ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends at once whatever reaches clients or files, each as far as it has not been told yet."""
        self.give_address()
        self.stop_application(force=True)
        if self.volume.mounted and not self.volume.stuck and not self.volume.withdraws:
            self.order(Withdraw(force=True))

    def note(self, text: str) -> None:
        self.out.append(Note(text))
