"""Verbs that steer the nodes of a farm."""

from __future__ import annotations

import argparse
import time
from typing import Any

from farmd.commands.asking import POLL_S, TIMEOUT_S, Verbs, ask, show
from farmd.errors import MachineError


def add(verbs: Verbs) -> None:
    _add_order(verbs, "drain", "give all of a node's buckets away; flows that it has stay until they end")
    _add_order(verbs, "undrain", "let a drained node own buckets again")
    weight = _add_order(verbs, "weight", "change a node's share of the clients")
    weight.add_argument("weight", type=int, help="0 to 1000")


def _add_order(verbs: Verbs, name: str, text: str) -> argparse.ArgumentParser:
    added = verbs.farm_verb(name, _order, text)
    added.add_argument("node", help="the node's name")
    added.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="S", help="seconds to wait (default 5)")
    added.set_defaults(verb=name, weight=None)
    return added


def _order(arguments: argparse.Namespace) -> int:
    """Gives the order, then waits until every member follows a view that obeys it."""
    more = {"weight": arguments.weight} if arguments.verb == "weight" else {}
    ask(arguments, arguments.verb, node=arguments.node, **more)
    deadline = time.monotonic() + arguments.timeout
    while True:
        answer = ask(arguments, "status")
        if answer["converged"] and _obeyed(arguments, answer):
            show(arguments, answer, "status")
            return 0
        if time.monotonic() > deadline:
            raise MachineError(f"the order is given, but the farm did not follow within {arguments.timeout:g} s")
        time.sleep(POLL_S)


def _obeyed(arguments: argparse.Namespace, answer: dict[str, Any]) -> bool:
    member = next(member for member in answer["members"] if member["name"] == arguments.node)
    if not member["member"]:
        return True  # the order holds for when the node joins
    match arguments.verb:
        case "weight":
            return bool(member["view_weight"] == arguments.weight)
        case verb:
            return bool(member["draining"] == (verb == "drain"))
