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
        self.refused = False
        """The disk has refused to take that."""
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
        self.writing, self.refused, self._then, self._dispensable = state, False, then, dispensable
        self.out.append(Store(state))

    def stored(self, now_ns: int) -> None:
        assert self.writing is not None
        assert self._then is not None
        self.state, self.writing = self.writing, None
        self._then(now_ns)

    def store_refused(self, now_ns: int) -> None:
        assert self.writing is not None
        assert self._then is not None
        self.refused = True
        if self._dispensable:
            self.writing = None
            self.out.append(Forgo())
            self._then(now_ns)

    @property
    def yields(self) -> bool:
        """Whether nothing but a refusing disk keeps it from being outdated, and from serving before it is."""
        outdated = self.writing is not None and self.writing.condition is Condition.OUTDATED
        return outdated and self.refused and self.state.condition is Condition.INSYNC

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
