"""[[service]] and [[check]]: what a node runs and how it is watched; the same for a farm and for a mirror.

What a value must satisfy beyond its type is in `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from farmd.kit.toml import Address

Reaction = Literal["restart", "release", "stop"]
"""What follows when a check fails.

"restart": own nothing, restart the service, own again when all is well. "release": own nothing and let it run on, until
the check passes. "stop": own nothing and stop the service, until an operator starts it.
"""

WhenAllFail = Literal["serve", "release"]
"""What follows when every node of the farm fails the same check.

"serve": go on, since a broken answer is the same everywhere and the check itself may be what is wrong; "release": own
nothing, and clients get no answer.
"""


@dataclass(frozen=True, slots=True)
class Service:
    """[[service]]: something that farmd starts, watches, restarts and stops. Exactly one of unit, start and ocf.

    Services start in the order of the file and stop in the opposite one. Each brings a check of its own, which has the
    service's name: whether it is alive.
    """

    name: str = ""
    """What commands and messages call it; by default the unit's, the agent's or the start command's own name."""

    unit: str = ""
    """A systemd unit, such as "nginx.service"."""

    start: str = ""
    """A command line that starts the service and returns when that is done. Words are split as a shell would, but there
    is no shell.
    """

    stop: str = ""
    """The command line that stops it; with `start` only, and needed there."""

    status: str = ""
    """A command line whose exit code 0 says that it runs. By default it runs while a process lives that `start` has
    left running, or a child of such a process; that takes a kernel with cgroup v2.
    """

    ocf: str = ""
    """An OCF resource agent, such as "heartbeat:nginx" (Debian's package resource-agents)."""

    params: Mapping[str, str] = field(default_factory=dict)
    """The agent's parameters."""

    managed: bool = True
    """False: watch only. It is neither started nor stopped nor restarted by farmd."""

    start_timeout_s: float = 60.0
    """For the start, until all checks pass, in seconds; then it counts as failed."""

    stop_timeout_s: float = 30.0
    """For a stop to end by itself, in seconds; then every process of the service is killed."""

    status_timeout_s: float = 10.0
    """For `status`, an agent's monitor action or systemd to answer, in seconds; then it counts as dead."""

    interval_s: float = 1.0
    """Time between two looks at whether it is alive, in seconds, at least 0.1. A death is mostly noticed at once."""

    on_failure: Reaction = "restart"
    """What follows when it is found dead; of a service that is not managed it is "release"."""

    max_restarts: int = 3
    """More restarts than this within `restart_window_s` are not tried: the service is stopped instead."""

    restart_window_s: float = 86400.0
    """How long a restart is remembered, in seconds."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self._own_name())

    def _own_name(self) -> str:
        if self.unit:
            return self.unit.removesuffix(".service")
        if self.ocf:
            return self.ocf.rpartition(":")[2]
        command = self.start.split()
        return command[0].rpartition("/")[2] if command else ""


@dataclass(frozen=True, slots=True)
class Check:
    """[[check]]: a question asked again and again. Exactly one of tcp, http, exec, process, ping and interface."""

    name: str
    """What commands and messages call it."""

    tcp: str = ""
    """"HOST:PORT" that accepts connections; an IPv6 address stands in brackets."""

    http: str = ""
    """A URL, http or https, that answers as wanted."""

    exec: str = ""
    """A command line whose exit code is 0. Words are split as a shell would, but there is no shell."""

    process: str = ""
    """The name of a program of which a process runs, or "@/path" of the file with its process number."""

    ping: tuple[Address, ...] = ()
    """Addresses that answer an echo request."""

    interface: str = ""
    """An interface that is up and has a carrier."""

    status: str = "200-399"
    """http: the status codes that are right, such as "200,204" or "200-399"."""

    text: str = ""
    """http: what the answer's first 64 KiB must contain."""

    host: str = ""
    """http: the Host header, and the name that TLS asks for; by default the URL's."""

    verify: bool = True
    """http: whether a TLS certificate must be valid."""

    needs: Literal["any", "all"] = "any"
    """ping: how many of the addresses must answer."""

    address: Address | None = None
    """interface: an address that it must have."""

    interval_s: float = 1.0
    """Time between two tries, in seconds, at least 0.1."""

    timeout_s: float = 1.0
    """A try that takes longer has failed, in seconds."""

    rise: int = 2
    """This many tries in a row must pass until a failing check passes again."""

    fall: int = 3
    """This many tries in a row must fail until a passing check fails. What was never tried follows the first try."""

    on_failure: Reaction = "release"
    """What follows when it fails."""

    service: str = ""
    """The service that is restarted or stopped; by default all that are managed."""

    max_restarts: int = 3
    """As of a service."""

    restart_window_s: float = 86400.0
    """As of a service."""

    when_all_fail: WhenAllFail = "serve"
    """What follows when every node of the farm fails it."""
