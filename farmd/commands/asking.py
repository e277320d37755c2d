"""What the verbs share: how they are declared, whom they ask and how they print."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from farmd.errors import MachineError
from farmd.kit.control import call, daemon_of
from farmd.kit.lock import run_folder

TIMEOUT_S = 5.0
POLL_S = 0.05

Run = Callable[[argparse.Namespace], int]
"""Carries a verb out and returns the exit code. A FarmError it raises becomes a sentence and exit code 1."""


class Verbs:
    """The parser's verbs, to be added to."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(self, name: str, run: Run, text: str) -> argparse.ArgumentParser:
        """A verb that needs no daemon."""
        added = self._verbs.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="print one JSON object")
        added.set_defaults(run=run)
        return added

    def farm_verb(self, name: str, run: Run, text: str) -> argparse.ArgumentParser:
        """A verb for a farm that runs here."""
        added = self.verb(name, run, text)
        added.add_argument("--farm", "--mirror", help="the name of the farm or mirror (default: the only one here)")
        return added


def add_timeout(added: argparse.ArgumentParser, default_s: float, *aliases: str) -> None:
    """How long the verb waits for what it has ordered."""
    text = f"seconds to wait (default {default_s:g})"
    added.add_argument("--timeout", *aliases, type=float, default=default_s, metavar="S", help=text)


def farm_socket(arguments: argparse.Namespace) -> Path:
    """The control socket of the farm that is meant."""
    if arguments.farm is not None:
        return run_folder() / f"{arguments.farm}.sock"
    found = sockets()
    if not found:
        raise MachineError(f"no farm or mirror runs on this machine (no socket in {run_folder()})")
    if len(found) > 1:
        names = ", ".join(path.stem for path in found)
        raise MachineError(f"several farms or mirrors run here; choose one with --farm: {names}")
    return found[0]


def sockets() -> list[Path]:
    """Those of all daemons that run here, by name."""
    return sorted(run_folder().glob("*.sock"))


def ask(arguments: argparse.Namespace, verb: str, **more: Any) -> dict[str, Any]:
    """The daemon's answer."""
    path = farm_socket(arguments)
    return call(path, verb, TIMEOUT_S, daemon=daemon_of(path), **more)


def ask_farm(arguments: argparse.Namespace, verb: str) -> dict[str, Any]:
    """The status, for a verb that makes sense for farms only; MachineError if it is a mirror."""
    answer = ask(arguments, "status")
    if answer.get("kind") == "mirror":
        raise MachineError(f"{verb} is for farms, and {answer['mirror']} is a mirror")
    return answer


def show(arguments: argparse.Namespace, answer: dict[str, Any], draw: str) -> None:
    """Prints an answer as JSON, or drawn by the function of that name in farmd.tables."""
    if arguments.json:
        print(json.dumps(answer))
        return
    from farmd import tables

    tables.show(getattr(tables, draw)(answer))
