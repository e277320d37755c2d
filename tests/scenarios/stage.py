"""A farm on a stage: commands in, what happens out, as the transcripts have it."""

from __future__ import annotations

from collections.abc import Callable

from farmd.core import buckets
from farmd.core.events import Action, Broadcast, Command, Lease, Leave, NodeState, Note
from farmd.core.news import in_words
from farmd.core.settings import MS
from tests.scenarios.play import Play, number
from tests.sim.cluster import Cluster
from tests.sim.faults import Faults
from tests.sim.invariants import ExactlyOne, epochs_rise, outsiders_are_silent
from tests.sim.node import Node, mask

SEED = 1
FAULTS = Faults(delay_ms_max=1.0, jitter_ms_max=1.0)
DRAINING = frozenset({buckets.State.DRAINING})
LIMIT_MS = 10_000


class WatchedCluster(Cluster):
    """A cluster that tells what its nodes do."""

    tell: Callable[[Node, str], None]
    said: dict[int, NodeState]
    """What each node has said last."""
    done: list[str]
    """What came of the step under way, told after what led to it."""

    def _execute(self, node: Node, action: Action) -> None:
        match action:
            case Broadcast(_, state):
                for line in [*news(self.said.get(node.id), state), *self.done]:
                    self.tell(node, line)
                self.said[node.id] = state
                self.done.clear()
            case Note(_, text) if "view installed" in text:
                self.done.append(text)
            case Note(_, text):
                self.tell(node, text)
            case Lease(0):
                self.tell(node, "ends its lease")
        super()._execute(node, action)


class Stage(Play):
    """One farm, and the words that move it. I1 to I3 are watched all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster: WatchedCluster

    def _tell(self, node: Node, text: str) -> None:
        self.lines.append(f"{self.cluster.now / MS:8.1f}  n{node.id}  {text}")

    # -- the farm ------------------------------------------------------------------------------------------------------

    def _do_farm(self, size: str, *rules: str) -> None:
        settings: dict[str, object] = {}
        for rule in rules:
            match rule.split("="):
                case "quorum", value:
                    settings["quorum"] = value
                case ["witness"]:
                    settings["witness"] = True
                case "settle", ms:
                    settings["settle_ns"] = int(ms) * MS
                case "ahead", ms:
                    settings["drain_ahead_ns"] = int(ms) * MS
                case _:
                    raise AssertionError(f"a farm has no {rule}")
        self.cluster = WatchedCluster(int(size), SEED, FAULTS, **settings)
        self.cluster.said, self.cluster.done = {}, []
        self.cluster.tell = self._tell
        self.cluster.checks = [ExactlyOne(), epochs_rise, outsiders_are_silent]

    def _do_start(self, *nodes: str) -> None:
        for node in nodes:
            self.cluster.said.pop(number(node), None)
        self.cluster.start(*map(number, nodes))

    def _do_up(self) -> None:
        """Starts all nodes and lets them converge, which is not told again in every story."""
        seen = len(self.lines)
        self.cluster.start()
        self._do_run("500")
        del self.lines[seen:]

    def _do_kill(self, node: str) -> None:
        self.cluster.kill(number(node))

    def _do_freeze(self, node: str, ms: str) -> None:
        self.cluster.freeze(number(node), float(ms))

    # -- the network ---------------------------------------------------------------------------------------------------

    def _do_cut(self, a: str, how: str, b: str) -> None:
        """`cut n1 - n2` both ways, `cut n1 > n2` only from n1 to n2."""
        self.cluster.cut(number(a), number(b), one_way={"-": False, ">": True}[how])

    def _do_partition(self, *side: str) -> None:
        self.cluster.partition({number(node) for node in side})

    def _do_blind(self, *nodes: str) -> None:
        """The witness does not hear these nodes."""
        self.cluster.blind |= {number(node) for node in nodes}

    def _do_heal(self) -> None:
        self.cluster.heal()

    # -- the operator --------------------------------------------------------------------------------------------------

    def _do_drain(self, node: str) -> None:
        self._order(Command(number(node), drained=True))

    def _do_undrain(self, node: str) -> None:
        self._order(Command(number(node), drained=False))

    def _do_weight(self, node: str, weight: str) -> None:
        self._order(Command(number(node), weight=int(weight)))

    def _order(self, command: Command) -> None:
        """Any node takes the order for any other; here it is the first that runs."""
        first = next(node.id for node in self.cluster.nodes.values() if node.core is not None)
        self.cluster.order(first, command)

    def _do_leave(self, node: str) -> None:
        machine = self.cluster.nodes[number(node)]
        self.cluster.order(machine.id, Leave(self.cluster.local(machine) + LIMIT_MS * MS))

    # -- the nodes' supervision ----------------------------------------------------------------------------------------

    def _do_fail(self, node: str, *checks: str) -> None:
        """Exactly these checks fail; the node may go on."""
        self.cluster.fall_ill(number(node), *checks)

    def _do_unready(self, node: str, *checks: str) -> None:
        """The node must own nothing, since these checks fail or something has yet to start."""
        self.cluster.fall_ill(number(node), *checks, ready=False)

    def _do_recover(self, node: str) -> None:
        self.cluster.recover(number(node))

    # -- time and looking ----------------------------------------------------------------------------------------------

    def _do_run(self, ms: str) -> None:
        self.cluster.run_for(float(ms))

    def _do_run_until(self, node: str, what: str) -> None:
        """`run-until n2 promises`, `proposes`, `commits` or `releases`: to the moment when it says so."""
        seen = len(self.lines)
        while not any(f"n{number(node)}  {what}" in line for line in self.lines[seen:]):
            assert self.cluster.now < LIMIT_MS * MS, f"{node} never {what}"
            self.cluster.run_next()

    def _do_status(self) -> None:
        self.lines.append("node  status    view  owns  open  drains  lease")
        for node in self.cluster.nodes.values():
            self.lines.append(f"n{node.id}    {self._standing(node)}")

    def _standing(self, node: Node) -> str:
        if node.core is None:
            return "off"
        view = node.core.view
        drains = mask(node.table, DRAINING).bit_count() if self.cluster.answers(node) else 0
        frozen = "frozen" if node.frozen_until > self.cluster.now else node.core.status.name.lower()
        epoch, owns = (str(view.epoch), view.owners.count(node.id)) if view is not None else ("-", 0)
        left_ms = (node.lease_until - self.cluster.local(node)) / MS
        lease = f"{left_ms:.0f} ms" if left_ms > 0 else "ended"
        return f"{frozen:8}  {epoch:4}  {owns:4}  {self.cluster.open_now(node).bit_count():4}  {drains:6}  {lease}"


def names(ids: frozenset[int]) -> str:
    return " ".join(f"n{id}" for id in sorted(ids))


def news(before: NodeState | None, now: NodeState) -> list[str]:
    """What a node says now that it has not said before."""
    lines = []
    promised = before is not None and now.promised != before.promised
    if promised:
        lines.append(f"promises {now.promised}")
    if before is not None and now.released != before.released and before.holds:
        lines.append(f"releases what {now.released} gives to others")
    proposal = now.proposal
    if proposal is not None and (before is None or proposal != before.proposal):
        view = proposal.view
        if proposal.committed:
            after = f", in force once {names(proposal.losers)} released" if proposal.losers else ""
            lines.append(f"commits {view.epoch}{after}")
        else:
            proposes = f"proposes {view.epoch}: members {names(view.ids)}, {view.moving.bit_count()} buckets moving"
            lines.insert(0, proposes)
    if before is not None and (now.ready, now.failing) != (before.ready, before.failing):
        lines.insert(0, in_words((now.ready, now.failing)))
    return lines
