"""Verbs about what a node runs and how it is watched."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from farmd.commands.asking import POLL_S, Verbs, ask, show
from farmd.errors import MachineError

SERVICE_TIMEOUT_S = 180.0
"""A usual drain and start, and some time to spare."""
WAIT_TIMEOUT_S = 60.0
EVENTS = 50

SETTLED = {"start": ("running", "failed"), "restart": ("running", "failed"), "stop": ("stopped", "failed")}
"""The states in which a verb has come to its end."""


def add(verbs: Verbs) -> None:
    _add_wish(verbs, "start", "start a service of this node, and forget its earlier failures")
    _add_wish(verbs, "stop", "drain this node, then stop the service, until it is started or farmd starts anew")
    _add_wish(verbs, "restart", "drain this node, then stop and start the service")
    verbs.farm_verb("checks", _checks, "the services and checks of this node, and what they say")
    events = verbs.farm_verb("events", _events, "the last transitions of this node, the newest last")
    events.add_argument("--last", type=int, default=EVENTS, metavar="N", help=f"how many, to 500 (default {EVENTS})")
    wait = verbs.farm_verb("wait", _wait, "wait until this node is ready, or drained; also for farmd to come up")
    wait.add_argument("what", choices=("ready", "drained"), help="ready: may own buckets; drained: owns none, no flows")
    _add_timeout(wait, WAIT_TIMEOUT_S)


def _add_wish(verbs: Verbs, name: str, text: str) -> None:
    added = verbs.farm_verb(name, _wish, text)
    added.add_argument("service", help="the service's name")
    added.set_defaults(verb=name)
    _add_timeout(added, SERVICE_TIMEOUT_S)


def _add_timeout(added: argparse.ArgumentParser, default_s: float) -> None:
    text = f"seconds to wait (default {default_s:g})"
    added.add_argument("--timeout", type=float, default=default_s, metavar="S", help=text)


def _wish(arguments: argparse.Namespace) -> int:
    """Gives the order, then waits until the service has come to its end."""
    name, start = arguments.service, time.time()
    deadline = time.monotonic() + arguments.timeout
    ask(arguments, arguments.verb, service=name)
    while True:
        answer = ask(arguments, "status")
        service = next(service for service in answer["services"] if service["name"] == name)
        if service["state"] in SETTLED[arguments.verb]:
            break
        if time.monotonic() > deadline:
            raise MachineError(
                f"the order is given, but service {name} is still {service['state']} after {arguments.timeout:g} s"
            )
        time.sleep(POLL_S)
    happened = [event for event in reversed(answer["events"]) if event["time"] >= start]
    if service["state"] == "failed":
        raise MachineError(f"service {name} has failed: {service['text']}")
    show(arguments, {"ok": True, "service": service, "events": happened}, "events")
    return 0


def _checks(arguments: argparse.Namespace) -> int:
    show(arguments, ask(arguments, "checks"), "checks")
    return 0


def _events(arguments: argparse.Namespace) -> int:
    answer = ask(arguments, "events", last=arguments.last)
    answer["events"].reverse()
    show(arguments, answer, "events")
    return 0


def _wait(arguments: argparse.Namespace) -> int:
    deadline = time.monotonic() + arguments.timeout
    while True:
        missing = _missing(arguments)
        if not missing:
            print(json.dumps({"ok": True}) if arguments.json else f"this node is {arguments.what}")
            return 0
        if time.monotonic() > deadline:
            raise MachineError(f"not {arguments.what} within {arguments.timeout:g} s: {missing}")
        time.sleep(POLL_S)


def _missing(arguments: argparse.Namespace) -> str:
    """Why it is not so yet; empty when it is."""
    try:
        answer = ask(arguments, "status")
    except MachineError as error:
        return str(error)
    return _not_ready(answer) if arguments.what == "ready" else _not_drained(answer)


def _not_ready(answer: dict[str, Any]) -> str:
    if not answer["ready"]:
        return str(answer["reason"])
    if answer["lease"] != "held" or not answer["converged"]:
        return "the node is not in agreement with its farm"
    return ""


def _not_drained(answer: dict[str, Any]) -> str:
    own = next(member for member in answer["members"] if member["name"] == answer["node"])
    if own["buckets"] or not answer["converged"]:
        return f"the node owns {own['buckets']} buckets"
    return "connections are still open here" if answer["flows"] else ""
