"""The whole lab as one object, for the command line, the demo and the tests.

    with Lab("mine", nodes=3) as lab:
        lab.exec("lan", "curl", "-s", "http://10.0.0.100/")
        lab.kill("n1")

What is up is always looked up, never remembered, so several processes may steer one lab.
"""

import subprocess
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM
from typing import Any, Self

from farmd.errors import MachineError
from farmd.kit import control
from lab import cuts, machine, processes, services
from lab.cuts import Pair
from lab.errors import LabError
from lab.machine import Machine, signal_service
from lab.state import State
from lab.topology import FAR, LAN, ROUTER, SWITCH, Topology, sysctls
from lab.waiting import until

FARMD = "farmd"
FARM_HEALTH = "farm-health"
ANSWER_WITHIN_S = 2.0
"""For a daemon to say how it is."""
STOP_WITHIN_S = 90.0
"""A planned stop may drain for a minute first."""


class Lab:
    """A lab by its name; nothing is done before `up`."""

    def __init__(
        self, name: str = "lab", nodes: int = 3, networks: int = 1, config: str | None = None, site: int = 0
    ) -> None:
        """`config` is the text of farmd's configuration; the default has VIPs, nodes and port 80."""
        self.state = State(name)
        self.topology = Topology(nodes, networks, site)
        self.config = services.farm_config(self.topology) if config is None else config
        self._found: dict[str, Machine] = {}

    @classmethod
    def existing(cls, name: str) -> "Lab":
        """A lab that is up; LabError if there is none of this name."""
        topology = State(name).topology()
        return cls(name, topology.nodes, topology.networks, site=topology.site)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self, start: bool = True) -> None:
        """Build everything; with `start`, start farmd on all nodes and wait until they agree. All or nothing."""
        self.state.claim(self.topology)
        try:
            self.state.config.write_text(self.config)
            self.state.key.write_text(services.key())
            self._boot(SWITCH, ROUTER, LAN, FAR, *self.topology.node_names)
            if start:
                self.start_all()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End everything that is there, also what a crashed `up` left; nothing there is no error."""
        machine.end_all(self.name)
        self.state.remove()

    @property
    def name(self) -> str:
        return self.state.name

    def machine(self, place: str) -> Machine:
        """A place that is on; LabError if there is no such place or it is off."""
        if place not in self.topology.places:
            raise LabError(f"there is no {place!r} in this lab, only {', '.join(self.topology.places)}")
        found = self._find(place)
        if found is None:
            raise LabError(f"{place} is off")
        return found

    def powered(self, node: str) -> bool:
        """Whether a node is on."""
        return self._find(node) is not None

    def _find(self, place: str) -> Machine | None:
        """A place that is on. It is searched for, in the environments of all processes, only if it is not where it
        was."""
        known = self._found.get(place)
        if known is None or not known.is_on:
            self._found = machine.running(self.name)
        return self._found.get(place)

    def exec(
        self, place: str, *command: str, check: bool = True, input: str | None = None, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a place and return its output; arguments and errors as in subprocess.run."""
        return subprocess.run(
            self.machine(place).enter_bound(*command),
            check=check,
            input=input,
            timeout=timeout,
            capture_output=True,
            text=True,
            env=machine.environment(),
        )

    def popen(self, place: str, *command: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
        """Run a command in a place beside this process. `terminate` and then `communicate` end it (enter_bound).

        Its pipe is not buffered, so that a `readline` takes nothing away from a later `communicate`.
        """
        return subprocess.Popen(
            self.machine(place).enter_bound(*command), stdout=stdout, bufsize=0, env=machine.environment()
        )

    def start(self, node: str) -> None:
        """Boot a node if it is off, and start farmd; returns when farmd answers. LabError if it runs or fails."""
        self.topology.node_number(node)
        if not self.powered(node):
            self.boot(node)
        there = self.machine(node)
        if there.service(FARMD):
            raise LabError(f"farmd runs on {node} already")
        self._start_farmd(there)
        self._wait_answering(node)

    def start_health(self, node: str, settings: str = services.HEALTH_SETTINGS) -> None:
        """Start a node's health page; returns when it answers. LabError if it runs already or fails."""
        there = self.machine(node)
        if there.service(FARM_HEALTH):
            raise LabError(f"farm-health runs on {node} already")
        there.write(services.HEALTH_CONFIG, settings)
        there.start_service(FARM_HEALTH, services.farm_health(), self.state.log(f"{node}-health"))
        live = services.curl(f"http://127.0.0.1:{services.HEALTH_PORT}/live")
        until(
            lambda: there.service(FARM_HEALTH) is None or self.exec(node, *live, check=False).returncode == 0,
            f"farm-health on {node} to answer",
            timeout_s=15.0,
        )
        if there.service(FARM_HEALTH) is None:
            raise LabError(f"farm-health on {node} ended at once{self._last_words(f'{node}-health')}")

    def boot(self, node: str) -> None:
        """Switch a node on that is off: its network and, unless farmd starts it, nginx; without farmd."""
        self.topology.node_number(node)
        if self.powered(node):
            raise LabError(f"{node} is on already")
        self._boot(node)

    def stop(self, node: str) -> None:
        """The planned way: ask farmd to leave, and wait until it has; the node stays on."""
        signal_service(self._farmd(node), SIGTERM, wait_s=STOP_WITHIN_S)

    def kill(self, node: str) -> None:
        """Power off without warning: the switch port goes dark, then everything on the node is gone."""
        self.topology.node_number(node)
        there = self.machine(node)
        ports = [cable.port for cable in self.topology.cables(node)]
        switch = self.machine(SWITCH)
        switch.network_command("ip -batch -", "".join(f"link set {port} down\n" for port in ports))
        self._cut_power(there)
        # The kernel keeps a dead namespace, and its links, while connections in it wait for their timers.
        for port in ports:
            switch.network_command(f"ip link del {port}", "", check=False)

    def freeze(self, node: str) -> None:
        """Stop farmd where it stands, as a hung machine would; its kernel and its nginx go on."""
        signal_service(self._farmd(node), SIGSTOP)

    def thaw(self, node: str) -> None:
        """Let a frozen farmd go on."""
        signal_service(self._farmd(node), SIGCONT)

    def cut(self, side: str, other: str, one_way: bool = False, network: int | None = None) -> None:
        """Let the switch drop what two sides send to each other; each is "n1", or "n1,lan" and so on.

        `one_way`: only what `side` sends to `other`. `network`: on heartbeat network 1 or 2 only.
        """
        pairs = cuts.pairs(self.topology, side, other, one_way, network)
        if not pairs:
            raise LabError(f"no heartbeat network joins {side} and {other} there")
        cuts.add(self.machine(SWITCH), pairs)

    def heal(self) -> None:
        """Undo all cuts."""
        cuts.remove_all(self.machine(SWITCH))

    def cuts(self) -> set[Pair]:
        """The cuts that are in force, as pairs of switch ports: from, to."""
        return cuts.listed(self.machine(SWITCH))

    def farmd_pid(self, node: str) -> int | None:
        """farmd's process number as seen from here; None if it does not run."""
        found = self._find(node)
        process = found.service(FARMD) if found else None
        return process.pid if process else None

    def ask(self, node: str, verb: str = "status", name: str = services.FARM) -> dict[str, Any]:
        """What a node's daemon for this farm or mirror answers; LabError if it does not. It is asked without farmctl,
        whose start takes more of this machine than all that is asked."""
        path = self.machine(node).path(f"/run/farmd/{name}.sock")
        try:
            return control.call(path, verb, ANSWER_WITHIN_S)
        except MachineError as error:
            raise LabError(f"{node}: {error}") from None

    def farm_status(self, node: str) -> dict[str, Any] | None:
        """What a node says of its farm; None if there is no answer."""
        try:
            return self.ask(node)
        except LabError:
            return None

    def wait_converged(self, *nodes: str, timeout_s: float = 15.0) -> None:
        """Wait until these nodes, and no others, are up in the view that all of them have installed."""
        what = f"{', '.join(nodes)} to agree; their logs are in {self.state.folder}"
        until(lambda: self._converged(nodes), what, timeout_s)

    def _boot(self, *places: str) -> None:
        """Switch places on, cable them, and wait until every cable carries frames."""
        fresh = machine.boot(self.name, places, self.state.machines_log)
        for place, there in fresh.items():
            there.network_command("sysctl --quiet --load=-", sysctls(place))
        if SWITCH in fresh:
            fresh[SWITCH].network_command("nft -f -", cuts.TABLE)
            fresh[SWITCH].network_command("ip -batch -", self.topology.addresses(SWITCH))
        cables = [cable for place in fresh for cable in self.topology.cables(place)]
        for owner in (SWITCH, ROUTER):
            lines = [cable.plug(fresh[cable.place].pid) for cable in cables if cable.owner == owner]
            if lines:
                self.machine(owner).network_command("ip -batch -", "".join(lines))
        for place, there in fresh.items():
            if place != SWITCH:
                there.network_command("ip -batch -", self.topology.addresses(place))
        for cable in cables:
            self._wait_carrying(cable.owner, cable.port, bridged=cable.bridge is not None)
            self._wait_carrying(cable.place, cable.interface)
        for place in fresh.keys() & set(self.topology.node_names):
            self._furnish(fresh[place])

    def start_all(self) -> None:
        """Start farmd on all nodes, and wait until they agree."""
        for node in self.topology.node_names:
            self._start_farmd(self.machine(node))
        self.wait_converged(*self.topology.node_names)

    def _cut_power(self, there: Machine) -> None:
        there.power_off()

    def _furnish(self, there: Machine) -> None:
        """What a node has besides farmd: nginx."""
        self._start_nginx(there)

    def _wait_carrying(self, place: str, interface: str, bridged: bool = False) -> None:
        """The kernel brings a link to life in its own time; bridge ports forward (3, linux/if_bridge.h) later."""
        link = self.machine(place).path(f"/sys/class/net/{interface}")
        wanted = {link / "operstate": "up"} | ({link / "brport/state": "3"} if bridged else {})
        until(lambda: all(content(path) == text for path, text in wanted.items()), f"{interface} of {place} to be up")

    def _start_nginx(self, there: Machine) -> None:
        big = there.path(services.BIG)
        big.parent.mkdir()
        with big.open("wb") as file:
            file.truncate(services.BIG_BYTES)
        there.write(services.NGINX_CONFIG, services.nginx_config(there.name))
        if not services.supervised(self.state.config.read_text()):
            there.run_logged(services.nginx(), self.state.log(there.name))

    def _start_farmd(self, there: Machine) -> None:
        there.write(services.CONFIG, self.state.config.read_text())
        there.write(services.KEY, self.state.key.read_text(), mode=0o600)
        there.start_service(FARMD, services.farmd(there.name), self.state.log(there.name))

    def _farmd(self, node: str) -> processes.Marked:
        self.topology.node_number(node)
        process = self.machine(node).service(FARMD)
        if process is None:
            raise LabError(f"farmd does not run on {node}")
        return process

    def _wait_answering(self, node: str) -> None:
        until(
            lambda: self.farmd_pid(node) is None or self.farm_status(node) is not None,
            f"farmd on {node} to answer",
            timeout_s=15.0,
        )
        if self.farmd_pid(node) is None:
            raise LabError(f"farmd on {node} ended at once{self._last_words(node)}")

    def _converged(self, nodes: tuple[str, ...]) -> bool:
        for node in nodes:
            if self.farmd_pid(node) is None:
                raise LabError(f"farmd on {node} ended{self._last_words(node)}")
        epochs = set()
        for node in nodes:
            answer = self.farm_status(node)
            if answer is None or not answer["converged"]:
                return False
            if {member["name"] for member in answer["members"] if member["status"] == "up"} != set(nodes):
                return False
            epochs.add(answer["epoch"])
        return len(epochs) == 1

    def _last_words(self, node: str) -> str:
        """The last line of a node's log, for a message."""
        log = self.state.log(node)
        lines = content(log).splitlines()
        return f"; {log} ends with: {lines[-1]}" if lines else ""


def content(path: Path) -> str:
    """A file's text without the space around; empty if it cannot be read (yet)."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
