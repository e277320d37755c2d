"""systemd, as systemctl(1) tells and does it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from farmd.errors import MachineError

COMMAND = ("systemctl", "--no-ask-password", "--no-pager")
SHOW = (*COMMAND, "show", "--property=LoadState,ActiveState,SubState,MainPID")
TIMEOUT_S = 20.0


def runs() -> bool:
    """Whether it is this machine's process 1 (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def properties(output: str) -> dict[str, str]:
    """What `systemctl show` says."""
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


def load_state(unit: str) -> str:
    """Whether it is a unit here: "loaded", "not-found", "masked" ... MachineError if systemd does not answer."""
    try:
        done = subprocess.run([*SHOW, "--", unit], capture_output=True, text=True, timeout=TIMEOUT_S, cwd="/")
    except (OSError, subprocess.TimeoutExpired):
        raise MachineError("systemctl does not answer") from None
    if done.returncode:
        raise MachineError(done.stderr.strip().splitlines()[0] if done.stderr.strip() else "systemctl failed")
    return properties(done.stdout).get("LoadState", "")
