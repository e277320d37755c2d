"""What breaks one side of a mirror, and how it is seen that the other one serves."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGSTOP

from lab.mirror import NODES, MirrorLab
from lab.processes import status_field
from lab.waiting import until
from tests.lab.mirrors import other

Fault = Callable[[MirrorLab, str], None]
SERVES_WITHIN_S = 30.0


def power_off(lab: MirrorLab, node: str) -> None:
    lab.kill(node)


def kill_mirrord(lab: MirrorLab, node: str) -> None:
    lab.crash(node)


def kill_volume(lab: MirrorLab, node: str) -> None:
    lab.signal_volume(node, SIGKILL)


def freeze_node(lab: MirrorLab, node: str) -> None:
    lab.freeze_all(node)


def freeze_mirrord(lab: MirrorLab, node: str) -> None:
    lab.freeze(node)


def freeze_volume(lab: MirrorLab, node: str) -> None:
    lab.signal_volume(node, SIGSTOP)


def kill_processes(lab: MirrorLab, node: str, words: bytes) -> None:
    """SIGKILL for every process of a node whose command line has these words."""
    for pid in lab.pids(node):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if words in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, SIGKILL)


def wait_served(lab: MirrorLab, victim: str) -> str:
    """Wait until a node serves that may be written to; which one. A frozen one is not asked: it cannot know."""
    frozen = lab.powered(victim) and any(stopped(pid) for pid in lab.pids(victim))
    asked = [other(victim)] if frozen else list(NODES)
    seen: list[str] = []

    def served() -> bool:
        nonlocal seen
        states = {node: lab.status(node) for node in asked if lab.powered(node)}
        ready = {node for node, state in states.items() if state.get("readiness") == "ready"}
        serving = [node for node in ready if states[node]["role"] in ("PRIM", "ALONE")]
        seen = [node for node in serving if answers(lab, node)]
        return len(seen) == 1

    until(served, f"a node to serve after {victim} failed", SERVES_WITHIN_S, interval_s=0.02)
    return seen[0]


def answers(lab: MirrorLab, node: str) -> bool:
    """Whether its files can be reached. For an instant after its volume was killed, mirrord does not know of it."""
    directory = tomllib.loads(lab.mirrors[lab.first])["mirror"]["directories"][0]
    with contextlib.suppress(OSError):
        os.listdir(lab.path(node, directory))
        return True
    return False


def thaw(lab: MirrorLab, node: str) -> None:
    if lab.powered(node):
        lab.thaw_all(node)


def stopped(pid: int) -> bool:
    return status_field(pid, "State").startswith("T")
