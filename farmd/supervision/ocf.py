"""OCF resource agents: scripts that start, stop and watch an application.

Source: the OCF Resource Agent API, https://github.com/ClusterLabs/OCF-spec/blob/main/ra/1.1/resource-agent-api.md
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from farmd.errors import MachineError

ROOT = Path("/usr/lib/ocf")
META_TIMEOUT_S = 20.0


class Code(IntEnum):
    """What an agent's exit code means."""

    OCF_SUCCESS = 0
    OCF_ERR_GENERIC = 1
    OCF_ERR_ARGS = 2
    OCF_ERR_UNIMPLEMENTED = 3
    OCF_ERR_PERM = 4
    OCF_ERR_INSTALLED = 5
    OCF_ERR_CONFIGURED = 6
    OCF_NOT_RUNNING = 7
    OCF_RUNNING_PROMOTED = 8
    OCF_FAILED_PROMOTED = 9
    OCF_DEGRADED = 190
    OCF_DEGRADED_PROMOTED = 191


RUNNING = frozenset({Code.OCF_SUCCESS, Code.OCF_RUNNING_PROMOTED, Code.OCF_DEGRADED, Code.OCF_DEGRADED_PROMOTED})
"""The answers of `monitor` that say that it runs. Degraded is running, and more likely to fail soon."""

_MEANINGS: dict[int, str] = {
    Code.OCF_ERR_GENERIC: "it failed",
    Code.OCF_ERR_ARGS: "the agent was called wrongly",
    Code.OCF_ERR_UNIMPLEMENTED: "the agent cannot do that",
    Code.OCF_ERR_PERM: "permission denied",
    Code.OCF_ERR_INSTALLED: "something that it needs is not installed here",
    Code.OCF_ERR_CONFIGURED: "its parameters are not right",
    Code.OCF_NOT_RUNNING: "it is not running",
    Code.OCF_FAILED_PROMOTED: "it failed while promoted",
}


def name(code: int) -> str:
    """An exit code's name."""
    try:
        return Code(code).name
    except ValueError:
        return f"exit code {code}"


def meaning(code: int) -> str:
    """An exit code in words, with its name."""
    words = _MEANINGS.get(code)
    return f"{words} ({name(code)})" if words else name(code)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that an agent knows."""

    name: str
    required: bool


def agent(name: str) -> Path:
    """Where an agent such as "heartbeat:nginx" is installed."""
    provider, _, kind = name.partition(":")
    return ROOT / "resource.d" / provider / kind


def environment(name: str, instance: str, parameters: Mapping[str, str], timeout_s: float) -> dict[str, str]:
    """What an agent reads. instance: which of several of the same agent on one machine. timeout_s: of the action."""
    provider, _, kind = name.partition(":")
    return {
        "OCF_ROOT": str(ROOT),
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_PROVIDER": provider,
        "OCF_RESOURCE_TYPE": kind,
        "OCF_RESOURCE_INSTANCE": instance,
        "OCF_EXIT_REASON_PREFIX": "ocf-exit-reason:",
        "OCF_RESKEY_CRM_meta_timeout": str(round(timeout_s * 1000)),
        **{f"OCF_RESKEY_{parameter}": value for parameter, value in parameters.items()},
    }


def parameters(name: str) -> list[Parameter]:
    """What an agent says of its parameters. MachineError if it says nothing that can be understood."""
    from xml.etree import ElementTree  # only who has an agent needs it

    try:
        done = subprocess.run(
            [agent(name), "meta-data"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=META_TIMEOUT_S,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment(name, "meta-data", {}, META_TIMEOUT_S)},
        )
        if done.returncode:
            raise MachineError(f"{name} cannot describe itself: {meaning(done.returncode)}")
        tree = ElementTree.fromstring(done.stdout)
    except subprocess.TimeoutExpired:
        raise MachineError(f"{name} does not describe itself within {META_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise MachineError(f"{name} cannot be run: {error.strerror}") from None
    except ElementTree.ParseError as error:
        raise MachineError(f"{name} describes itself in XML that is not right: {error}") from None
    return [
        Parameter(each.get("name", ""), each.get("required", "0") in ("1", "true", "yes"))
        for each in tree.iterfind("./parameters/parameter")
    ]
