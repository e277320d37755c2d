"""Whether services and checks fit this machine: what they name is installed here. Nothing is started or changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from farmd.errors import ConfigError, MachineError
from farmd.supervision import cgroup, ocf, systemd
from farmd.supervision.schema import Check, Service
from farmd.supervision.words import words


def check(services: Sequence[Service], checks: Sequence[Check]) -> None:
    """Raise ConfigError, with the key's path, for the first thing that is missing here."""
    for index, service in enumerate(services):
        key = f"service[{index}]"
        if service.unit:
            _check_unit(f"{key}.unit", service.unit)
        elif service.ocf:
            _check_agent(key, service)
        else:
            _check_commands(key, service)
    for index, one in enumerate(checks):
        if one.exec:
            _check_command(f"check[{index}].exec", one.exec)


def _check_unit(key: str, unit: str) -> None:
    if not systemd.runs():
        raise ConfigError(key, "systemd does not run on this machine")
    try:
        state = systemd.load_state(unit)
    except MachineError as error:
        raise ConfigError(key, str(error)) from None
    if state == "not-found":
        raise ConfigError(key, f"there is no unit {unit} on this machine")
    if state != "loaded":
        raise ConfigError(key, f"systemd cannot start {unit}: it is {state}")


def _check_agent(key: str, service: Service) -> None:
    path = ocf.agent(service.ocf)
    if not path.is_file():
        raise ConfigError(
            f"{key}.ocf", f"there is no agent {service.ocf} on this machine ({path}); Debian's are in resource-agents"
        )
    if not os.access(path, os.X_OK):
        raise ConfigError(f"{key}.ocf", f"{path} is not executable")
    try:
        known = {parameter.name: parameter for parameter in ocf.parameters(service.ocf)}
    except MachineError as error:
        raise ConfigError(f"{key}.ocf", str(error)) from None
    for name in service.params:
        if name not in known:
            raise ConfigError(f"{key}.params.{name}", f"is no parameter of {service.ocf}; it has {', '.join(known)}")
    for parameter in known.values():
        if parameter.required and parameter.name not in service.params:
            raise ConfigError(f"{key}.params.{parameter.name}", f"is missing; {service.ocf} needs it")


def _check_commands(key: str, service: Service) -> None:
    for field in ("start", "stop", "status"):
        if getattr(service, field):
            _check_command(f"{key}.{field}", getattr(service, field))
    if not service.status and os.geteuid() == 0 and cgroup.own() is None:
        raise ConfigError(
            f"{key}.status", "is needed here: without a cgroup v2 to write to, nobody can tell whether it lives"
        )


def _check_command(key: str, line: str) -> None:
    command = words(line)[0]
    if shutil.which(command):
        return
    path = Path("/") / command  # commands run in the root folder
    if "/" not in command or not path.exists():
        raise ConfigError(key, f"there is no command {command} on this machine")
    raise ConfigError(key, f"{command} is a folder" if path.is_dir() else f"{command} is not executable")
