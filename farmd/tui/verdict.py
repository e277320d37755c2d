"""How a farm is doing, in sentences: the first thing that a stranger reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

BAD, WARN, GOOD = "bold red", "yellow", "green"

Sentence = tuple[str, str]
"""A style and the words."""

GONE = ("failed", "silent")


def sentences(status: dict[str, Any]) -> list[Sentence]:
    """The most serious first; one that all is well if there is nothing to say."""
    found = [*_here(status), *_farm(status)]
    found.sort(key=lambda sentence: sentence[0] != BAD)
    return found or [(GOOD, _well(status["members"]))]


def remark(member: dict[str, Any]) -> Sentence:
    """A node's checks and whatever else is to be said of it, in a word or two."""
    if member["status"] in (*GONE, "left"):
        return "dim", ""
    if member["failing"]:
        return BAD, ", ".join(member["failing"])
    if member["deaf"]:
        return BAD, "deaf to us"
    return GOOD, "ok"


def standing(member: dict[str, Any]) -> Sentence:
    """A node's status in one word; "not ready" while its services or checks keep it from serving."""
    status = member["status"]
    if status in GONE:
        return BAD, status
    if status == "left":
        return "dim", status
    if not member["ready"] and status != "joining":
        return BAD, "not ready"  # and therefore draining
    return GOOD if status == "up" else WARN, status


def is_well(member: dict[str, Any]) -> bool:
    """Whether there is nothing to look at."""
    return standing(member)[0] == GOOD and remark(member)[0] == GOOD


def _here(status: dict[str, Any]) -> Iterator[Sentence]:
    """What concerns this node alone."""
    if status["lease"] != "held":
        yield BAD, f"{status['node']} is fenced: it answers no client"
    if not status["ready"]:
        yield BAD, f"{status['node']} is not ready{_because(status['reason'])}"
    for service in status["services"]:
        if service["state"] == "failed":
            yield BAD, f"service {service['name']} failed"
    if status["stopped"]:
        yield WARN, "a service was stopped for good"
    if status["drain_announced"] and status["node"] in status["buckets"]["owners"]:
        yield WARN, f"{status['node']} will give its buckets away"


def _farm(status: dict[str, Any]) -> Iterator[Sentence]:
    members = status["members"]
    others = [member for member in members if member["name"] != status["node"]]
    for word in GONE:
        yield from _named(_standing(members, word), BAD, word)
    orphans = status["buckets"]["owners"].count(None)
    if orphans:
        yield BAD, f"{orphans} buckets without an owner"
    yield from _failing(members)
    yield from _named(_standing(others, "not ready"), WARN, "not ready")
    for word in ("draining", "leaving", "joining"):
        yield from _named(_standing(members, word), WARN, word)
    yield from _named([member for member in others if member["deaf"]], BAD, "deaf to us")
    if status["moving"]:
        yield WARN, f"{status['moving']} buckets moving"
    if not status["converged"]:
        yield WARN, "converging"


def _standing(members: Sequence[dict[str, Any]], word: str) -> Sequence[dict[str, Any]]:
    return [member for member in members if standing(member)[1] == word]


def _named(members: Sequence[dict[str, Any]], style: str, words: str) -> Iterator[Sentence]:
    if members:
        yield style, f"{_names(members)} {words}"


def _failing(members: Sequence[dict[str, Any]]) -> Iterator[Sentence]:
    for check in sorted({check for member in members for check in member["failing"]}):
        yield WARN, f"{check} fails on {_names([member for member in members if check in member['failing']])}"


def _names(members: Sequence[dict[str, Any]]) -> str:
    """A few by name, many by number."""
    if len(members) > 3:
        return f"{len(members)} nodes"
    return ", ".join(member["name"] for member in members)


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _well(members: Sequence[dict[str, Any]]) -> str:
    up = [member for member in members if member["status"] == "up"]
    if len(up) == len(members):
        return "the node is up" if len(up) == 1 else f"all {len(up)} nodes are up"
    return f"{len(up)} of {len(members)} nodes are up"
