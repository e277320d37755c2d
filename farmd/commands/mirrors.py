"""Verbs for mirrors: who serves, and whether both have the same."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from farmd.commands.asking import POLL_S, Verbs, add_timeout, ask
from farmd.errors import MachineError

CHANGE_TIMEOUT_S = 180.0
"""For an application to stop here and to start there, with some time to spare."""
VERIFY_TIMEOUT_S = 86400.0
"""Both nodes read all their files."""
SERVING = ("PRIM", "ALONE")

Done = Callable[[dict[str, Any]], bool]
"""Whether a status is as wanted."""


def add(verbs: Verbs) -> None:
    swap = verbs.farm_verb("swap", _swap, "mirror: the two nodes change places; the application stops and starts")
    _add_waiting(swap)
    promote = verbs.farm_verb("promote", _promote, "mirror: let this node serve with the data that it has")
    promote.add_argument("--force-outdated", action="store_true", help="even though the other node has newer data: "
                         "what was acknowledged and is not here is given up")  # fmt: skip
    _add_waiting(promote)
    verbs.farm_verb("resync", _resync, "mirror: compare everything anew, and make the other node equal to this one")
    verify = verbs.farm_verb("verify", _verify, "mirror: compare both nodes while they run; exit code 1 if they differ")
    add_timeout(verify, VERIFY_TIMEOUT_S)
    diverged = verbs.farm_verb("diverged", _diverged, "mirror: where files are kept that only this node had")
    diverged.add_argument("--looked", action="store_true", help="somebody has looked: put them aside, show it no more")


def _add_waiting(added: argparse.ArgumentParser) -> None:
    add_timeout(added, CHANGE_TIMEOUT_S)
    text = "only give the order; otherwise it waits until the application is ready (Ctrl-C undoes nothing)"
    added.add_argument("--no-wait", action="store_true", help=text)


def _swap(arguments: argparse.Namespace) -> int:
    before = mirror_status(arguments, "swap")
    began = ask(arguments, "swap")["at"]
    if arguments.no_wait:
        return _tell(arguments, {}, "the order is given")
    served_here = before["role"] in SERVING
    changed = False

    def done(answer: dict[str, Any]) -> bool:
        nonlocal changed
        for event in answer["events"]:
            if event["time"] >= began and event["text"].startswith("serves on"):
                raise MachineError(f"the nodes have not changed places: {event['text']}")
        serves_here, serves_there = answer["role"] in SERVING, answer["peer"]["role"] in SERVING
        if changed and serves_here == served_here and serves_here != serves_there:
            raise MachineError(f"the nodes have changed places, and back: node {_serving(answer)} serves")
        changed |= serves_there if served_here else serves_here
        return changed and serves_here != serves_there and _is_ready(answer)

    answer = _await(arguments, "the node that is to serve is not ready", done)
    return _tell(arguments, answer, f"node {_serving(answer)} serves now")


def _promote(arguments: argparse.Namespace) -> int:
    mirror_status(arguments, "promote")
    ask(arguments, "promote", force=arguments.force_outdated)
    if arguments.no_wait:
        return _tell(arguments, {}, "the order is given")
    answer = _await(arguments, "this node is not ready", lambda told: told["role"] in SERVING and _is_ready(told))
    return _tell(arguments, answer, f"node {answer['node']} serves now, {answer['role']}")


def _resync(arguments: argparse.Namespace) -> int:
    mirror_status(arguments, "resync")
    ask(arguments, "resync")
    return _tell(arguments, {}, "everything is compared anew; `farmctl wait insync` returns when that is done")


def _verify(arguments: argparse.Namespace) -> int:
    mirror_status(arguments, "verify")
    began = ask(arguments, "verify")["at"]

    def done(answer: dict[str, Any]) -> bool:
        verified = answer["verified"]
        if verified is not None and verified["at"] >= began:
            return True
        if not answer["in_sync"]:
            raise MachineError("the pair is not in sync any more, so it was not verified")
        return False

    found = _await(arguments, "the comparison has not ended", done)["verified"]
    if found["failure"]:
        raise MachineError(f"the comparison has ended before everything was compared: {found['failure']}")
    _tell(arguments, found, _differing(found))
    return 1 if found["count"] else 0


def _differing(found: dict[str, Any]) -> str:
    count, told = found["count"], found["differing"]
    if not count:
        return "both nodes have the same"
    head = "one path differs" if count == 1 else f"{count} paths differ"
    if count > len(told):
        head += f", of which the first {len(told)} are told"
    return "\n  ".join((f"{head} (`farmctl resync` makes the other node equal to this one):", *told))


def _diverged(arguments: argparse.Namespace) -> int:
    kept = mirror_status(arguments, "diverged")["diverged"]
    if arguments.looked:
        answer = ask(arguments, "looked")
        return _tell(arguments, answer, f"what was kept is in {answer['folder']} now")
    text = "no files of a diverged side are kept here"
    if kept is not None:
        count = "files" if kept["files"] is None else f"{kept['files']} files"
        text = f"{count} that only this node had are kept in {kept['folder']} (told until `farmctl diverged --looked`)"
    return _tell(arguments, {"diverged": kept}, text)


def mirror_status(arguments: argparse.Namespace, verb: str) -> dict[str, Any]:
    """The status of the mirror that is meant; MachineError if it is a farm."""
    answer = ask(arguments, "status")
    if answer.get("kind") != "mirror":
        raise MachineError(f"{verb} is for mirrors, and {answer['farm']} is a farm")
    return answer


def _serving(answer: dict[str, Any]) -> str:
    """The name of the node that serves."""
    return str(answer["node"] if answer["role"] in SERVING else answer["peer"]["name"])


def _is_ready(answer: dict[str, Any]) -> bool:
    """Whether the node that serves is ready."""
    return bool(answer["readiness"] == "ready" if answer["role"] in SERVING else answer["peer"]["ready"])


def _why_not(answer: dict[str, Any]) -> str:
    """What is known of the node that others wait for."""
    peer = answer["peer"]
    if answer["role"] in SERVING or peer["role"] not in SERVING:
        return str(answer["reason"] or answer["role"])
    return f"node {peer['name']} serves, and its application is not ready; `farmctl status` there says why"


def _await(arguments: argparse.Namespace, otherwise: str, done: Done) -> dict[str, Any]:
    """The first status that is as wanted."""
    deadline = time.monotonic() + arguments.timeout
    while True:
        answer = ask(arguments, "status")
        if done(answer):
            return answer
        if time.monotonic() > deadline:
            raise MachineError(f"the order is given, but {otherwise} within {arguments.timeout:g} s: "
                               f"{_why_not(answer)}")  # fmt: skip
        time.sleep(POLL_S)


def _tell(arguments: argparse.Namespace, answer: dict[str, Any], text: str) -> int:
    print(json.dumps({"ok": True, **answer}) if arguments.json else text)
    return 0
