"""A mirror on a stage: commands in, what happens out, as the transcripts in mirror/ have it.

The cores are real; networks, disks, volumes, applications and the witness are those of the simulation. M1, M2 and M4
are watched all the time.
"""

from __future__ import annotations

from collections.abc import Callable

from farmd.core.settings import MS
from mirrord.core.events import (
    Action,
    AddressDown,
    AddressUp,
    Broadcast,
    Command,
    Event,
    Forgo,
    Note,
    Promote,
    Resync,
    Start,
    StartApplication,
    Stop,
    StopApplication,
    Store,
    Swap,
)
from mirrord.core.standing import Word
from mirrord.orders import Cover, Follow, GoAlone, Lead, Order
from tests.scenarios.play import Play, number
from tests.sim.mirror import Mirror
from tests.sim.mirror_faults import Faults
from tests.sim.mirror_invariants import Invariants, at_rest
from tests.sim.mirror_node import Node

SEED = 1
FAULTS = Faults(delay_ms_max=1.0, jitter_ms_max=1.0)


class WatchedMirror(Mirror):
    """A mirror that tells what its nodes do."""

    tell: Callable[[Node, str], None]
    said: dict[int, Word]
    slow_resync_ms = 0

    def execute(self, node: Node, action: Action) -> None:
        match action:
            case Broadcast(_, word):
                for line in news(self.said.get(node.id), word):
                    self.tell(node, line)
                self.said[node.id] = word
            case Store(state):
                served = ", served last" if state.served else ""
                self.tell(node, f"> stores {state.generation} {state.condition}{served}")
            case Forgo():
                self.tell(node, "goes on without: the disk refuses it")
            case AddressUp() | AddressDown():
                self.tell(node, f"> address {'up' if isinstance(action, AddressUp) else 'down'}")
            case StartApplication():
                self.tell(node, "> starts the application")
            case StopApplication(force):
                self.tell(node, f"> {'kills' if force else 'stops'} the application")
            case Command(order) if not isinstance(order, Cover):
                self.tell(node, f"> volume: {in_words(order)}")
            case Note(text):
                self.tell(node, text)
        super().execute(node, action)

    def resync_ns(self) -> int:
        return self.slow_resync_ms * MS or super().resync_ns()


def news(before: Word | None, now: Word) -> list[str]:
    """What a node says now that it has not said before."""
    lines = []
    if now.asks and not (before is not None and before.asks):
        lines.append("asks the other to be outdated")
    if now.handed is not None and (before is None or before.handed is None):
        lines.append(f"hands over at number {now.handed}")
    return lines


def in_words(order: Order) -> str:
    match order:
        case Lead(generation, resync, keep):
            return f"lead {generation[0]}.{generation[1]}, compare {resync}{', keep what differs' if keep else ''}"
        case Follow(generation, keep):
            return f"follow {generation[0]}.{generation[1]}{', keep what differs' if keep else ''}"
        case GoAlone():
            return "go alone"
        case _:
            force = " at once" if getattr(order, "force", False) else ""
            return f"{type(order).__name__.lower()}{force}"


class Stage(Play):
    """One mirror, and the words that move it."""

    def __init__(self) -> None:
        super().__init__()
        self.mirror: WatchedMirror

    def _tell(self, node: Node, text: str) -> None:
        self.lines.append(f"{self.mirror.now / MS:8.1f}  n{node.id}  {text}")

    # -- the mirror ----------------------------------------------------------------------------------------------------

    def _do_mirror(self, *rules: str) -> None:
        settings: dict[str, object] = {}
        files = False
        for rule in rules:
            match rule.split("="):
                case ["witness"]:
                    settings["witness"] = True
                case "prefer", node:
                    settings["prefer"] = number(node)
                case ["files"]:
                    files = True
                case _:
                    raise AssertionError(f"a mirror has no {rule}")
        self.mirror = WatchedMirror(SEED, FAULTS, networks=2, **settings)
        self.mirror.empty = not files
        self.mirror.said, self.mirror.tell = {}, self._tell
        Invariants(self.mirror)

    def _do_start(self, *nodes: str) -> None:
        for node in nodes:
            self.mirror.said.pop(number(node), None)
        self.mirror.start(*map(number, nodes))

    def _do_up(self) -> None:
        """Starts both and lets them come to be in sync, which is not told again in every story."""
        seen = len(self.lines)
        self.mirror.start()
        assert self.mirror.step_until(lambda: at_rest(self.mirror), 3000)
        self.mirror.run(1000 * MS)
        del self.lines[seen:]

    def _do_power_off(self, *nodes: str) -> None:
        for node in nodes:
            self.mirror.power_off(number(node))

    def _do_kill(self, node: str) -> None:
        self.mirror.crash(number(node))

    def _do_freeze(self, node: str, ms: str) -> None:
        self.mirror.freeze(number(node), float(ms))

    def _do_freeze_before_it_is_told(self, node: str, ms: str) -> None:
        """As soon as its peer counts on it, and before it hears so."""
        self.mirror.on_count = lambda counted: self._freeze_counted(counted, number(node), float(ms))

    def _freeze_counted(self, counted: Node, id: int, ms: float) -> None:
        if counted.id == id:
            self.mirror.freeze(id, ms)

    def _do_break_disk(self, node: str) -> None:
        volume = self.mirror.nodes[number(node)].volume
        assert volume is not None
        volume.fail("the disk is full")

    def _do_refuse_states(self, *nodes: str) -> None:
        """The disks of these nodes take no state any more."""
        for node in nodes:
            self.mirror.nodes[number(node)].refuses_until = 1 << 62

    def _do_take_states(self, *nodes: str) -> None:
        for node in nodes:
            self.mirror.nodes[number(node)].refuses_until = 0

    def _do_break_application(self, node: str) -> None:
        self.mirror.fall_ill(number(node))

    def _do_resyncs_take(self, ms: str) -> None:
        self.mirror.slow_resync_ms = int(ms)

    # -- the networks --------------------------------------------------------------------------------------------------

    def _do_cut(self, a: str, how: str, b: str, *networks: str) -> None:
        """`cut n1 - n2` both ways, `cut n1 > n2` only from n1 to n2; on network 1, 2 or all."""
        chosen = [int(network) - 1 for network in networks]
        self.mirror.cut(number(a), number(b), *chosen, one_way={"-": False, ">": True}[how])

    def _do_blind(self, *nodes: str) -> None:
        """The witness does not hear these nodes."""
        self.mirror.blind |= {number(node) for node in nodes}

    def _do_heal(self) -> None:
        self.mirror.heal()

    # -- the operator --------------------------------------------------------------------------------------------------

    def _do_swap(self, node: str) -> None:
        self._order(node, Swap())

    def _do_promote(self, node: str, how: str = "") -> None:
        self._order(node, Promote(force=how == "--force-outdated"))

    def _do_stop(self, node: str) -> None:
        self._order(node, Stop())

    def _do_take_part(self, node: str) -> None:
        self._order(node, Start())

    def _do_resync(self, node: str) -> None:
        self._order(node, Resync())

    def _order(self, node: str, wish: Event) -> None:
        objection = self.mirror.order(number(node), wish)
        if objection:
            self._tell(self.mirror.nodes[number(node)], f"refused: {objection}")

    # -- time and looking ----------------------------------------------------------------------------------------------

    def _do_run(self, ms: str) -> None:
        self.mirror.run_for(float(ms))

    def _do_status(self) -> None:
        self.lines.append("node  role    ready      data      generation  in sync  address  writes missing")
        for node in self.mirror.nodes.values():
            self.lines.append(f"n{node.id}    {self._standing(node)}")

    def _standing(self, node: Node) -> str:
        missing = len(self.mirror.acknowledged.keys() - node.data)
        disk = f"{node.state.condition:8}  {node.state.generation!s:10}"
        address = "answers" if self.mirror.answers(node) else "-"
        if node.core is None:
            return f"{'off':6}  {'':9}  {disk}  {'':7}  {address:7}  {missing}"
        core = node.core
        synced = "yes" if core.in_sync else "no"
        reason = f"  ({core.reason})" if core.reason else ""
        return f"{core.role:6}  {core.readiness:9}  {disk}  {synced:7}  {address:7}  {missing}{reason}"
