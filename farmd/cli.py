"""farmctl: the one command line.

Starts fast: nothing is imported before it is needed, neither asyncio nor, for `--json`, rich.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farmd.errors import FarmError, MachineError
from farmd.kit.control import call
from farmd.kit.lock import run_folder

TIMEOUT_S = 5.0
POLL_S = 0.05


def main() -> None:
    """The command `farmctl`."""
    arguments = _parser().parse_args()
    try:
        run: Callable[[argparse.Namespace], int] = arguments.run
        sys.exit(run(arguments))
    except FarmError as error:
        if arguments.json:
            print(json.dumps({"ok": False, "error": str(error)}))
        sys.exit(f"farmctl: {error}")
    except BrokenPipeError:  # `farmctl status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("farmctl", description="Look at a farm and steer it, from any of its nodes.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="print one JSON object")
        added.set_defaults(run=run)
        return added

    def farm_verb(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = verb(name, run, text)
        added.add_argument("--farm", help="the farm's name (default: the only one that runs here)")
        return added

    def order_verb(name: str, text: str) -> argparse.ArgumentParser:
        added = farm_verb(name, _order, text)
        added.add_argument("node", help="the node's name")
        added.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="S", help="seconds to wait (default 5)")
        added.set_defaults(verb=name, weight=None)
        return added

    farm_verb("status", _status, "the farm as this node sees it")
    farm_verb("buckets", _buckets, "the owner of every bucket, and the packets it brought here")
    order_verb("drain", "give all of a node's buckets away; flows that it has stay until they end")
    order_verb("undrain", "let a drained node own buckets again")
    order_verb("weight", "change a node's share of the clients").add_argument("weight", type=int, help="0 to 1000")
    check = verb("check-config", _check_config, "whether a configuration is right; touches nothing")
    check.add_argument("file", type=Path)
    check.add_argument("--here", action="store_true", help="and fits this machine: it is a node, the interface exists")
    return parser


# -- asking ------------------------------------------------------------------------------------------------------------


def _socket(arguments: argparse.Namespace) -> Path:
    if arguments.farm is not None:
        return run_folder() / f"{arguments.farm}.sock"
    found = sorted(run_folder().glob("*.sock"))
    if not found:
        raise MachineError(f"no farm runs on this machine (no socket in {run_folder()})")
    if len(found) > 1:
        names = ", ".join(path.stem for path in found)
        raise MachineError(f"several farms run here; choose one with --farm: {names}")
    return found[0]


def _ask(arguments: argparse.Namespace, verb: str, **more: Any) -> dict[str, Any]:
    return call(_socket(arguments), verb, TIMEOUT_S, **more)


def _print(arguments: argparse.Namespace, answer: dict[str, Any], draw: str) -> None:
    """As JSON, or drawn by the function of that name in farmd.tables."""
    if arguments.json:
        print(json.dumps(answer))
        return
    from farmd import tables

    tables.show(getattr(tables, draw)(answer))


# -- verbs -------------------------------------------------------------------------------------------------------------


def _status(arguments: argparse.Namespace) -> int:
    _print(arguments, _ask(arguments, "status"), "status")
    return 0


def _buckets(arguments: argparse.Namespace) -> int:
    _print(arguments, _ask(arguments, "buckets"), "buckets")
    return 0


def _order(arguments: argparse.Namespace) -> int:
    """Gives the order, then waits until every member follows a view that obeys it."""
    more = {"weight": arguments.weight} if arguments.verb == "weight" else {}
    _ask(arguments, arguments.verb, node=arguments.node, **more)
    deadline = time.monotonic() + arguments.timeout
    while True:
        answer = _ask(arguments, "status")
        if answer["converged"] and _obeyed(arguments, answer):
            _print(arguments, answer, "status")
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


def _check_config(arguments: argparse.Namespace) -> int:
    from farmd.config import load

    config = load(arguments.file)
    vmac = config.farm.vmac.hex(":")
    answer = {"ok": True, "farm": config.farm.name, "nodes": len(config.nodes), "vmac": vmac}
    text = f"{arguments.file}: right. Farm {config.farm.name}, {len(config.nodes)} nodes, virtual MAC {vmac}."
    if arguments.here:
        from farmd import identity, links

        links.interface_mac(config.farm.interface)
        answer["node"] = identity.find_node(config, None).name
        text += f" This machine is {answer['node']}."
    print(json.dumps(answer) if arguments.json else text)
    return 0


if __name__ == "__main__":
    main()
