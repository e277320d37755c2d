"""How a mirror is doing, in sentences: the first thing that a stranger reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from farmd.tui.mirror_figures import LATE_MS, WITNESS_LATE_MS
from farmd.tui.mirror_nodes import SERVING
from farmd.tui.verdict import BAD, GOOD, WARN, Sentence

CLOCKS_APART_S_MAX = 1.0


def sentences(status: dict[str, Any]) -> list[Sentence]:
    """The most serious first; one that all is well if there is nothing to say."""
    found = [*_roles(status), *_here(status), *_contact(status), *_data(status)]
    found.sort(key=lambda sentence: sentence[0] != BAD)
    return found or [(GOOD, _well(status))]


def _roles(status: dict[str, Any]) -> Iterator[Sentence]:
    node, role, peer = status["node"], status["role"], status["peer"]
    if status["readiness"] != "ready" or status["reason"]:
        style = BAD if status["readiness"] == "not-ready" else WARN
        yield style, status["reason"] or f"{node} is not ready"
    if role in SERVING and peer["role"] in SERVING:
        yield BAD, "both nodes serve"
    elif role not in SERVING and peer["role"] not in SERVING:
        yield BAD, "no node serves" if peer["heard"] else f"{node} does not serve, and {peer['name']} is silent"
    elif role == "ALONE":
        yield WARN, f"{node} serves alone"
    elif peer["role"] == "ALONE":
        yield WARN, f"{peer['name']} serves alone"
    if status["linked"] and not status["in_sync"] and role in SERVING:
        yield WARN, f"{peer['name']} is brought up to date"  # one that follows says so itself


def _here(status: dict[str, Any]) -> Iterator[Sentence]:
    """What concerns this node alone."""
    if status["vip_trouble"]:
        yield BAD, status["vip_trouble"]
    if status["role"] in SERVING and status["vips"] and status["lease"] != "held":
        yield BAD, f"{status['node']} is fenced: it answers no client"
    if status["figures"]["held"]:
        yield BAD, f"{status['figures']['held']} changes wait for the peer"
    for service in status["services"]:
        if service["state"] == "failed":
            yield BAD, f"service {service['name']} failed"
    for check in status["checks"]:
        if check["state"] == "failing" and check["kind"] != "service":
            yield WARN, f"{check['name']} fails"


def _contact(status: dict[str, Any]) -> Iterator[Sentence]:
    peer, witness = status["peer"], status["witness"]
    if not peer["heard"] and status["role"] in SERVING:
        yield BAD, f"{peer['name']} is silent"
    if status["no_link"] and status["no_link"] not in status["reason"]:
        yield BAD, f"not linked: {status['no_link']}"
    if peer["heard"]:
        for network in status["peer"]["networks"]:
            if network["heard_ms_ago"] is None or network["heard_ms_ago"] > LATE_MS:
                yield BAD, f"{peer['name']} is silent at {network['address']}"
    if witness["configured"] and (witness["answered_ms_ago"] or WITNESS_LATE_MS) >= WITNESS_LATE_MS:
        yield WARN, "the witness does not answer"
    if abs(status["clocks_apart_s"] or 0.0) > CLOCKS_APART_S_MAX:
        yield WARN, f"clocks are {abs(status['clocks_apart_s']):.1f} s apart"


def _data(status: dict[str, Any]) -> Iterator[Sentence]:
    diverged, verified = status["diverged"], status["verified"]
    if diverged is not None:
        yield BAD, f"diverged files are kept in {diverged['folder']}"
    if verified is not None and verified["count"]:
        yield BAD, f"{verified['count']} files were found to differ"


def _well(status: dict[str, Any]) -> str:
    node, peer = status["node"], status["peer"]["name"]
    serving, following = (node, peer) if status["role"] in SERVING else (peer, node)
    return f"{serving} serves, {following} " + ("is in sync" if status["in_sync"] else "follows")
