"""A run folder of its own for each test, and the proof that it leaves no control group behind, so no service either."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from farmd.supervision import cgroup


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where outputs of services go."""
    folder = tmp_path / "run"
    monkeypatch.setenv("FARMD_RUN", str(folder))
    yield folder
    own = cgroup.own()
    left = [] if own is None else sorted(own.path.glob(f"farmd.test{os.getpid()}x*"))
    assert left == [], "control groups are left behind"
