"""Breaking and mending what supervised nodes run, and what their supervision says of it."""

from __future__ import annotations

from typing import Any

from lab.errors import LabError
from lab.network import Lab
from lab.services import BROKEN
from lab.waiting import until
from tests.lab.nodes import farmctl, members, owners, status

PID_FILE = "/run/farmd-lab/nginx.pid"


def nginx_pid(lab: Lab, node: str) -> str:
    """The number of nginx's first process on a node; empty if it does not run."""
    path = lab.machine(node).path(PID_FILE)
    pid = path.read_text().strip() if path.exists() else ""
    return pid if pid and lab.machine(node).path(f"/proc/{pid}").exists() else ""


def signal_nginx(lab: Lab, node: str, signal: str) -> None:
    """Sends a signal to all of nginx's processes on a node."""
    pid = nginx_pid(lab, node)
    workers = lab.exec(node, "cat", f"/proc/{pid}/task/{pid}/children").stdout.split()
    lab.exec(node, "kill", f"-{signal}", pid, *workers)


def break_page(lab: Lab, *nodes: str) -> None:
    """From now on nginx answers with errors on these nodes."""
    for node in nodes:
        lab.machine(node).path(BROKEN).touch()


def mend_page(lab: Lab, *nodes: str) -> None:
    for node in nodes:
        lab.machine(node).path(BROKEN).unlink(missing_ok=True)


def service(lab: Lab, node: str) -> dict[str, Any]:
    """What a node says of its nginx."""
    found: dict[str, Any] = status(lab, node)["services"][0]
    return found


def texts(lab: Lab, node: str) -> list[str]:
    """What has happened on a node, the oldest first."""
    return [event["text"] for event in reversed(lab.ask(node, "events")["events"])]


def wait_event(lab: Lab, node: str, text: str, after: int = 0, timeout_s: float = 20.0) -> None:
    """Wait until something has happened on a node, beyond the first `after` events."""
    until(
        lambda: any(text in one for one in texts(lab, node)[after:]),
        f"{text!r} on {node}, which says {texts(lab, node)[after:]}",
        timeout_s,
        interval_s=0.02,
    )


def wait_owns(lab: Lab, node: str, *, something: bool, timeout_s: float = 20.0) -> None:
    """Wait until a node owns something, or nothing."""
    until(
        lambda: (node in owners(lab, "n1")) == something,
        f"{node} to own {'something' if something else 'nothing'}",
        timeout_s,
        interval_s=0.02,
    )


def wait_ready(lab: Lab, node: str, timeout_s: float = 60.0) -> None:
    """Wait until a node serves, as `farmctl wait ready` does."""

    def ready() -> bool:
        answer = status(lab, node)
        return bool(answer["ready"] and answer["lease"] == "held" and answer["converged"])

    try:
        until(ready, f"{node} to be ready", timeout_s)
    except LabError as error:
        raise LabError(f"{error}, which says {status(lab, node)['reason']}") from None


def mend(lab: Lab) -> None:
    """Whatever was done to nginx and farmd is undone, and every node is ready."""
    for node in lab.topology.node_names:
        if not lab.powered(node):
            continue
        mend_page(lab, node)
        if nginx_pid(lab, node):
            signal_nginx(lab, node, "CONT")
        if lab.farmd_pid(node) is None:
            lab.start(node)
        if status(lab, node)["stopped"]:
            farmctl(lab, node, "start", "nginx")
        wait_ready(lab, node)
    lab.wait_converged(*lab.topology.node_names)
    assert all(member["ready"] for member in members(lab, "n1").values())
