"""The command line of the lab: ./lab/lab up, kill n1, status and so on."""

import argparse
import os
import signal
import sys
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from lab import cuts, machine, processes
from lab.errors import LabError
from lab.network import Lab


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence; -h shows the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (-h for help)\n")


def main() -> None:
    """Run one command; exit status 1 and one sentence if the lab cannot do it."""
    arguments = _parser().parse_args()
    if os.geteuid() != 0:
        sys.exit("lab: namespaces need root: sudo ./lab/lab ...")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that `up` undoes itself
    try:
        arguments.run(arguments)
    except LabError as error:
        sys.exit(f"lab: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _parser() -> Parser:
    parser = Parser(prog="lab", description="A web farm in network namespaces: a switch, a router, clients, nodes.")
    named = Parser(add_help=False)
    named.add_argument("--name", default="lab", help="the lab's name; labs of different names run side by side")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, text: str, *places: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[named])
        for place in places:
            added.add_argument(place.lower(), metavar=place)
        added.set_defaults(run=globals()[f"_{name}"])
        return added

    up = command("up", "build a lab and start nginx and farmd on its nodes")
    up.add_argument("--nodes", type=int, default=3, help="how many nodes, 1 to 16")
    up.add_argument("--networks", type=int, default=1, help="how many heartbeat networks, 1 or 2")
    up.add_argument("--no-start", action="store_true", help="do not start farmd")
    command("down", "end a lab and remove all of it")
    command("status", "show nodes and cuts")
    execute = command("exec", "run a command in a node, or in switch, router, lan or far", "WHERE")
    execute.add_argument("command", metavar="CMD", nargs=argparse.REMAINDER)
    command("kill", "power a node off: its links and all of its processes are gone", "NODE")
    command("stop", "stop a node's farmd the planned way", "NODE")
    command("start", "start a node's farmd, after booting the node if it is off", "NODE")
    command("freeze", "suspend a node's farmd (SIGSTOP)", "NODE")
    command("thaw", "let a suspended farmd go on (SIGCONT)", "NODE")
    cut = command("cut", "let the switch drop what A and B send each other; a side is n1, or n1,lan", "A", "B")
    cut.add_argument("--one-way", action="store_true", help="drop only what A sends to B")
    cut.add_argument("--network", type=int, help="cut this heartbeat network only, 1 or 2")
    command("heal", "undo all cuts")
    return parser


def _up(arguments: argparse.Namespace) -> None:
    lab = Lab(arguments.name, arguments.nodes, arguments.networks)
    lab.up(start=not arguments.no_start)
    print(f"The lab {lab.name!r} is up: {', '.join(lab.topology.places)}. Logs and configuration: {lab.state.folder}")


def _down(arguments: argparse.Namespace) -> None:
    Lab(arguments.name).down()


def _exec(arguments: argparse.Namespace) -> None:
    there = Lab.existing(arguments.name).machine(arguments.where)
    command = there.enter(*(arguments.command or ["bash"]))
    os.execvpe(command[0], command, machine.environment())


def _kill(arguments: argparse.Namespace) -> None:
    Lab.existing(arguments.name).kill(arguments.node)


def _stop(arguments: argparse.Namespace) -> None:
    Lab.existing(arguments.name).stop(arguments.node)


def _start(arguments: argparse.Namespace) -> None:
    Lab.existing(arguments.name).start(arguments.node)


def _freeze(arguments: argparse.Namespace) -> None:
    Lab.existing(arguments.name).freeze(arguments.node)


def _thaw(arguments: argparse.Namespace) -> None:
    Lab.existing(arguments.name).thaw(arguments.node)


def _cut(arguments: argparse.Namespace) -> None:
    Lab.existing(arguments.name).cut(arguments.a, arguments.b, arguments.one_way, arguments.network)


def _heal(arguments: argparse.Namespace) -> None:
    Lab.existing(arguments.name).heal()


def _status(arguments: argparse.Namespace) -> None:
    lab = Lab.existing(arguments.name)
    table = Table("node", "power", "farmd", "status", "buckets", box=None)
    for node in lab.topology.node_names:
        table.add_row(node, *_node_row(lab, node))
    Console().print(table)
    for line in cuts.described(lab.cuts()):
        print(f"cut: {line}")


def _node_row(lab: Lab, node: str) -> tuple[str, str, str, str]:
    if not lab.powered(node):
        return "off", "-", "-", "-"
    pid = lab.farmd_pid(node)
    if pid is None:
        return "on", "not running", "-", "-"
    if processes.status_field(pid, "State").startswith("T"):
        return "on", f"pid {pid}", "frozen", "-"
    answer = lab.farm_status(node) or {}
    buckets = [member["buckets"] for member in answer.get("members", []) if member["name"] == node]
    return "on", f"pid {pid}", str(answer.get("status", "no answer")), str(*buckets) or "-"
