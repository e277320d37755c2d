"""Steering a farm's nodes from a test, and reading what they say and have."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bpf import kernel
from lab import services
from lab.network import Lab
from lab.waiting import until

NODES = ("n1", "n2", "n3")
WEIGHT = 100


def farmctl(lab: Lab, node: str, *arguments: str) -> dict[str, Any]:
    """What `farmctl ... --json` answers on a node."""
    done = lab.exec(node, *services.farmctl(*arguments, "--json"))
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def status(lab: Lab, node: str) -> dict[str, Any]:
    """How a node says that its farm is."""
    return lab.ask(node)


def members(lab: Lab, node: str) -> dict[str, dict[str, Any]]:
    """Every configured node as a node sees it, by name."""
    return {member["name"]: member for member in status(lab, node)["members"]}


def owners(lab: Lab, node: str) -> list[str]:
    """The owner of every bucket, as a node knows it."""
    return list(lab.ask(node, "buckets")["owners"])


def moves(before: list[str], after: list[str]) -> set[tuple[str, str]]:
    """From whom to whom buckets went."""
    return {(old, new) for old, new in zip(before, after, strict=True) if old != new}


def hang_up(lab: Lab, node: str) -> None:
    """SIGHUP for a node's farmd; returns when it has started anew and answers."""
    pid, starts = lab.farmd_pid(node), _starts(lab, node)
    lab.exec(node, "kill", "-HUP", str(status(lab, node)["pid"]))
    until(lambda: _starts(lab, node) > starts, f"farmd on {node} to start anew", timeout_s=15)
    until(lambda: lab.farm_status(node) is not None, f"farmd on {node} to answer", timeout_s=15)
    assert lab.farmd_pid(node) == pid


def crash(lab: Lab, node: str) -> None:
    """SIGKILL for a node's farmd; the machine stays on, and so do its nginx and its filter."""
    lab.exec(node, "kill", "-KILL", str(status(lab, node)["pid"]))
    until(lambda: lab.farmd_pid(node) is None, f"farmd on {node} to die")


def restore(lab: Lab) -> None:
    """Three converged nodes of equal weight, none drained, nothing cut."""
    lab.heal()
    for node in lab.topology.node_names:
        if not lab.powered(node):
            lab.boot(node)
        if lab.farmd_pid(node) is None:
            lab.start(node)
        lab.thaw(node)
    wait_members(lab, *lab.topology.node_names)
    for name, member in members(lab, NODES[0]).items():
        if member["draining"]:
            farmctl(lab, NODES[0], "undrain", name)
        if member["view_weight"] != WEIGHT:
            farmctl(lab, NODES[0], "weight", name, str(WEIGHT))
    lab.wait_converged(*lab.topology.node_names)


def settled(lab: Lab, node: str) -> dict[str, Any]:
    """A node's status when no bucket is on its way to another node any more, so that no view follows of itself. After
    nodes that had started apart have met, as on a slow machine, that takes ten seconds."""
    until(lambda: status(lab, node)["moving"] == 0, "what is moving to have moved", timeout_s=30)
    return status(lab, node)


def wait_members(lab: Lab, *nodes: str, timeout_s: float = 15.0) -> None:
    """Wait until exactly these nodes are members of the view that each of them has in force."""
    until(lambda: all(_has_members(lab, node, nodes) for node in nodes), f"{', '.join(nodes)} to agree", timeout_s)


def _has_members(lab: Lab, node: str, nodes: tuple[str, ...]) -> bool:
    answer = lab.farm_status(node)
    if answer is None or not answer["converged"]:
        return False
    return {member["name"] for member in answer["members"] if member["member"]} == set(nodes)


def filter_programs(lab: Lab, node: str) -> list[int]:
    """The ids of the BPF programs that are pinned in a node."""
    pins = lab.machine(node).path("/sys/fs/bpf/farmd/eth0")
    return [_program_id(pins / program) for program in ("farm_xdp", "farm_tc")]


def _program_id(pin: Path) -> int:
    fd = kernel.object_open(pin)
    try:
        return kernel.program(fd).id
    finally:
        os.close(fd)


def _starts(lab: Lab, node: str) -> int:
    """How often farmd has started on a node."""
    return lab.state.log(node).read_text().count(f"INFO farmd: node {node} of farm")
