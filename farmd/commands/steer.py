"""Verbs that steer the nodes of a farm."""

from __future__ import annotations

import argparse
import time
from typing import Any

from farmd.commands.asking import POLL_S, TIMEOUT_S, Verbs, ask, ask_farm, show
from farmd.errors import MachineError


def add(verbs: Verbs) -> None:
    _add_drain(verbs, "drain", "give all of a node's buckets away; flows that it has stay until they end")
    _add_drain(verbs, "undrain", "let a drained node own buckets again")
    weight = _add_order(verbs, "weight", "change a node's share of the clients")
    weight.add_argument("node", nargs=1, help="the node's name")
    weight.add_argument("weight", type=int, help="0 to 1000")
    weight.set_defaults(all=False)


def _add_drain(verbs: Verbs, name: str, text: str) -> None:
    added = _add_order(verbs, name, text)
    added.add_argument("node", nargs="*", help="the names of nodes")
    added.add_argument("--all", action="store_true", help="every node of the farm")
    added.set_defaults(weight=None)


def _add_order(verbs: Verbs, name: str, text: str) -> argparse.ArgumentParser:
    added = verbs.farm_verb(name, _order, text)
    text = "seconds to wait (default 5), besides the time for which a drain is announced"
    added.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="S", help=text)
    added.set_defaults(verb=name)
    return added


def _order(arguments: argparse.Namespace) -> int:
    """Gives the orders, then waits until every member follows a view that obeys them."""
    answer = ask_farm(arguments, arguments.verb)
    nodes = _nodes(arguments, answer)
    more = {"weight": arguments.weight} if arguments.verb == "weight" else {}
    for node in nodes:
        ask(arguments, arguments.verb, node=node, **more)
    deadline = time.monotonic() + arguments.timeout + answer["drain_ahead_s"]
    while True:
        answer = ask(arguments, "status")
        if answer["converged"] and all(_obeyed(arguments, answer, node) for node in nodes):
            show(arguments, answer, "status")
            return 0
        if time.monotonic() > deadline:
            raise MachineError(f"the order is given, but the farm did not follow within {arguments.timeout:g} s")
        time.sleep(POLL_S)


def _nodes(arguments: argparse.Namespace, answer: dict[str, Any]) -> list[str]:
    if arguments.all == bool(arguments.node):
        raise MachineError(f"{arguments.verb} needs the names of nodes, or --all")
    names = [member["name"] for member in answer["members"]]
    for node in arguments.node:
        if node not in names:  # before any order is given
            raise MachineError(f"farm {answer['farm']} has no node {node}; it has {', '.join(names)}")
    return list(arguments.node) or names


def _obeyed(arguments: argparse.Namespace, answer: dict[str, Any], node: str) -> bool:
    member = next(member for member in answer["members"] if member["name"] == node)
    if not member["member"]:
        return True  # the order holds for when the node joins
    match arguments.verb:
        case "weight":
            return bool(member["view_weight"] == arguments.weight)
        case "drain":
            return bool(member["draining"])
        case _:
            return not member["draining"] or not member["ready"]
