"""The service manager, and the system's other commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from farmd.errors import MachineError


def require(*, root: bool) -> None:
    """Raises MachineError where setup makes no sense."""
    if not Path("/run/systemd/system").is_dir():
        raise MachineError("setup is for machines that systemd runs, and it does not run this one (sd_booted(3))")
    if root and os.geteuid() != 0:
        raise MachineError("setup must run as root: it creates a user and systemd units (--dry-run shows what it does)")


def stop_units() -> None:
    """Stop and disable every farm and mirror and the health page, the planned way."""
    ours = ("farmd@*.service", "mirrord@*.service", "farm-health.service")
    listed = run("systemctl", "list-units", "--all", "--plain", "--no-legend", *ours)
    names = {line.split()[0] for line in listed.splitlines()}
    if names:
        run("systemctl", "disable", "--now", *sorted(names))


def reload_units() -> None:
    """Tell systemd to read its units again."""
    run("systemctl", "daemon-reload")


def run(*command: str) -> str:
    """What a system command prints; MachineError with its own words when it fails or is missing."""
    if shutil.which(command[0]) is None:
        raise MachineError(f"there is no command {command[0]} on this machine")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MachineError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
