"""What all tests share: the marker `needs_root`, and a compiled filter."""

from __future__ import annotations

import os

import pytest

from lab.machine import CACHE


def pytest_configure(config: pytest.Config) -> None:
    os.environ["FARMD_CACHE"] = CACHE
    config.addinivalue_line("markers", "needs_root: makes namespaces, interfaces or BPF programs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    without_root = pytest.mark.skip(reason="needs root: makes namespaces, interfaces or BPF programs")
    for item in items:
        if item.get_closest_marker("needs_root"):
            item.add_marker(without_root)
