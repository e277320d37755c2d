"""A real HAProxy in front of two sites: its configuration, and what it says of them."""

import csv
import io
import socket
from pathlib import Path
from typing import Literal

from lab.services import AGENT_PORT, HEALTH_PORT

Asking = Literal["httpchk", "agent-check"]
"""How HAProxy learns about a site: it asks the health page, or the agent port."""

CONFIG = "/run/farmd-lab/haproxy.cfg"
SOCKET = "/run/farmd-lab/haproxy.sock"
LISTENS = "127.0.0.1"

_CHECKS: dict[Asking, tuple[str, str]] = {
    "httpchk": (
        "option httpchk GET /ready\n    http-check expect status 200\n    http-check disable-on-404",
        f"check port {HEALTH_PORT} inter 250ms fall 2 rise 2",
    ),
    # An agent that cannot be reached says nothing to HAProxy, so whether the site lives is asked on port 80 as well.
    # The agent's percentage is rounded down, so of HAProxy's default weight of 1 it would leave nothing.
    "agent-check": (
        "",
        f"weight 100 check inter 250ms fall 2 rise 2 agent-check agent-port {AGENT_PORT} agent-inter 250ms",
    ),
}


def command() -> list[str]:
    """Starts it in the foreground."""
    return ["haproxy", "-db", "-f", CONFIG]


def config(asking: Asking, sites: dict[str, str]) -> str:
    """Its configuration; `sites` are names and virtual addresses. Answers name the site and its node in X-Node."""
    options, check = _CHECKS[asking]
    servers = "\n".join(f"    server {name} {vip}:80 {check}" for name, vip in sites.items())
    return f"""global
    stats socket {SOCKET} mode 600 level admin
    maxconn 4000
defaults
    mode http
    timeout connect 500ms
    timeout client 5s
    timeout server 2s
    retries 3
    option redispatch 1
frontend clients
    bind {LISTENS}:80
    default_backend sites
backend sites
    balance roundrobin
    {options}
    http-response set-header X-Node %[srv_name]-%[res.hdr(X-Node)]
{servers}
"""


def statuses(path: Path) -> dict[str, str]:
    """What HAProxy thinks of each site: UP, DOWN, NOLB or DRAIN (no new clients), MAINT (management guide, 9.1)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2.0)
        connection.connect(str(path))
        connection.sendall(b"show stat\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    rows = csv.DictReader(io.StringIO(answer.decode().removeprefix("# ")))
    return {row["svname"]: row["status"] for row in rows if row["pxname"] == "sites" and row["svname"] != "BACKEND"}
