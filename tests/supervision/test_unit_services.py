"""Services that are systemd units, with a real systemd. What it sees is in `inside_systemd.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.supervision.a_systemd import SYSTEMD, systemd

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(not SYSTEMD.exists(), reason="needs systemd's program, which need not run here"),
]

ROOT = Path(__file__).resolve().parents[2]
UNITS = {
    "nap.service": "[Service]\nExecStart=/bin/sleep 977\n",
    "deaf.service": "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\nTimeoutStopSec=600\n",
    "deaf-again.service": "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\n"
    "TimeoutStopSec=600\nRestart=always\nRestartSec=0\n",
    "again.service": "[Service]\nExecStart=/bin/sleep 976\nRestart=always\nRestartSec=0.5\n",
    "broken.service": "[Service]\nExecStart=/bin/false\nType=oneshot\n",
    "fickle.service": "[Service]\nExecStart=/bin/sleep 975\n[Unit]\nStartLimitBurst=1\nStartLimitIntervalSec=600\n",
    "shutdown.target": "Requires=holding.service\nAfter=holding.service\n",
    "holding.service": "[Service]\nExecStart=/bin/sleep 974\nType=oneshot\n",
    "bad.service": "[Service]\nType=simple\n",
}


def test_units(tmp_path: Path) -> None:
    """The tests of `inside_systemd.py`, in a pytest below a systemd."""
    folder = tmp_path / "units"
    folder.mkdir()
    units = {name: f"[Unit]\nDefaultDependencies=no\n{text}" for name, text in UNITS.items()}
    with systemd(units, folder) as booted:
        inside = Path(__file__).with_name("inside_systemd.py")
        options = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path}/inside", f"--rootdir={ROOT}"]
        done = booted.run("env", f"--chdir={ROOT}", sys.executable, "-m", "pytest", *options, str(inside))
        assert done.returncode == os.EX_OK, done.stdout
