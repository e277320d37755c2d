"""The checks that every change must pass, beside the tests: style (ruff) and types (mypy --strict)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGES = ("farmd", "mirrord", "bpf", "healthcheck", "lab", "tests")


@pytest.mark.parametrize(
    "check",
    [["ruff", "check", "."], ["mypy", *PACKAGES]],
    ids=lambda check: check[0],
)
def test_a_check_finds_nothing(check: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *check], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
