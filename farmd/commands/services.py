"""Verbs about what a node runs and how it is watched."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from farmd.commands.asking import POLL_S, Verbs, add_timeout, ask, show
from farmd.commands.mirrors import SERVING, mirror_status
from farmd.errors import MachineError

SERVICE_TIMEOUT_S = 180.0
"""A usual drain and start, and some time to spare."""
WAIT_TIMEOUT_S = 60.0
EVENTS = 50

FARM_WAITS = ("ready", "drained")
MIRROR_WAITS = ("prim", "second", "insync")

SETTLED = {"start": ("running", "failed"), "restart": ("running", "failed"), "stop": ("stopped", "failed")}
"""The states in which a verb has come to its end."""


def add(verbs: Verbs) -> None:
    start = _add_wish(verbs, "start", "start a service of this node, and forget its earlier failures; or this node's "
                      "part in a mirror")  # fmt: skip
    stop = _add_wish(verbs, "stop", "drain this node, then stop the service, until it is started or farmd starts anew; "
                     "or this node's part in a mirror, whose other node takes over")  # fmt: skip
    for added in (start, stop):
        added.add_argument("service", nargs="?", help="the service's name; without one, all of a mirror")
    restart = _add_wish(verbs, "restart", "drain this node, then stop and start the service")
    restart.add_argument("service", help="the service's name")
    verbs.farm_verb("checks", _checks, "the services and checks of this node, and what they say")
    events = verbs.farm_verb("events", _events, "the last transitions of this node, the newest last")
    events.add_argument("--last", type=int, default=EVENTS, metavar="N", help=f"how many, to 500 (default {EVENTS})")
    wait = verbs.farm_verb("wait", _wait, "wait until this node is ready, or drained; also for farmd to come up")
    wait.add_argument("what", choices=(*FARM_WAITS, *MIRROR_WAITS), help="ready: a farm's node may own buckets, a "
                      "mirror's does what it is for; drained: owns none, no flows; prim: serves; second: follows; "
                      "insync: both have everything")  # fmt: skip
    add_timeout(wait, WAIT_TIMEOUT_S, "--within")


def _add_wish(verbs: Verbs, name: str, text: str) -> argparse.ArgumentParser:
    added = verbs.farm_verb(name, _wish, text)
    added.set_defaults(verb=name)
    add_timeout(added, SERVICE_TIMEOUT_S, "--within")
    return added


def _wish(arguments: argparse.Namespace) -> int:
    """Gives the order, then waits until the service has come to its end."""
    if arguments.service is None:
        return _wish_of_all(arguments)
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


def _wish_of_all(arguments: argparse.Namespace) -> int:
    """The same for a node's part in a mirror."""
    mirror_status(arguments, f"{arguments.verb} without a service's name")
    ask(arguments, arguments.verb)
    deadline = time.monotonic() + arguments.timeout
    while True:
        answer = ask(arguments, "status")
        if (answer["role"] == "STOP") == (arguments.verb == "stop") and answer["readiness"] != "transient":
            show(arguments, answer, "mirror")
            return 0
        if time.monotonic() > deadline:
            raise MachineError(
                f"the order is given, but this node is still {answer['role']} after {arguments.timeout:g} s"
            )
        time.sleep(POLL_S)


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
    if answer.get("kind") == "mirror":
        return _mirror_missing(arguments.what, answer)
    if arguments.what not in FARM_WAITS:
        raise MachineError(f"{arguments.what} is for mirrors, and {answer['farm']} is a farm")
    return _not_ready(answer) if arguments.what == "ready" else _not_drained(answer)


def _mirror_missing(what: str, answer: dict[str, Any]) -> str:
    is_so = {
        "ready": answer["readiness"] == "ready",
        "prim": answer["role"] in SERVING and answer["readiness"] == "ready",
        "second": answer["role"] == "SECOND",
        "insync": answer["in_sync"],
    }
    if what not in is_so:
        raise MachineError(f"{what} is for farms, and {answer['mirror']} is a mirror")
    return "" if is_so[what] else f"this node is {answer['role']}{answer['reason'] and ': '}{answer['reason']}"


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
