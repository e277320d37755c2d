"""Whether a mirror's configuration is right, and whether it fits this machine: `farmctl check-config`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from farmd import identity, links
from farmd.errors import ConfigError
from mirrord.config import Config
from mirrord.config_file import load, load_here

SYSTEMCTL_TIMEOUT_S = 10.0


def check(path: Path, *, here: bool) -> tuple[dict[str, Any], str]:
    """What is said about the file, for programs and for people. FarmError if it is wrong; nothing is changed."""
    config = load_here(path) if here else load(path)
    mirror = config.mirror
    names = " and ".join(node.name for node in config.nodes)
    answer: dict[str, Any] = {"ok": True, "mirror": mirror.name, "nodes": len(config.nodes)}
    directories = ", ".join(map(str, mirror.directories))
    text = f"{path}: right. Mirror {mirror.name}, nodes {names}, {directories}."
    if here:
        answer["node"] = identity.find_node(config.nodes, None).name
        if mirror.interface:
            links.interface_mac(mirror.interface)
        _check_directories(config)
        answer["remarks"] = [f"systemd starts {unit} at every boot, on both nodes; it is mirrord's to start: "
                             f"systemctl disable {unit}" for unit in _enabled(config)]  # fmt: skip
        text = "\n".join([f"{text} This machine is {answer['node']}.", *answer["remarks"]])
    return answer, text


def _check_directories(config: Config) -> None:
    from mirrord.volume.mounting.place import Place  # what knows file systems is loaded by who asks for it only

    for index, directory in enumerate(config.mirror.directories):
        try:
            Place(index, str(directory))
        except OSError as error:
            raise ConfigError(f"mirror.directories[{index}]", f"{directory}: {error.strerror}") from None


def _enabled(config: Config) -> list[str]:
    """The units of services that systemd, too, would start."""
    units = [service.unit for service in config.services if service.unit and service.managed]
    return [unit for unit in units if _is_enabled(unit)]


def _is_enabled(unit: str) -> bool:
    done = subprocess.run(
        ["systemctl", "is-enabled", "--", unit], capture_output=True, text=True, timeout=SYSTEMCTL_TIMEOUT_S
    )
    return done.stdout.strip() == "enabled"
